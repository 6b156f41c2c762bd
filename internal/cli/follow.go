package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
)

const (
	// followEvery is the pace of looks at a job.
	followEvery = 500 * time.Millisecond
	// followPatience is how long nothing may answer before following ends.
	followPatience = time.Minute
)

// follower shows how a job goes until it has ended.
type follower struct {
	live   *live
	out    io.Writer
	addr   string
	format string
	every  time.Duration
}

// errInterrupted: the operator looks away; the job goes on.
var errInterrupted = errors.New("interrupted")

// follow shows the job until it has ended and prints what it came to. That ctx
// ends leaves the job as it is, and says how to come back to it.
func (f *follower) follow(ctx context.Context, id string) error {
	j, err := f.watch(ctx, id)
	f.live.end()
	if errors.Is(err, errInterrupted) {
		fmt.Fprintf(f.live, "job %s goes on without this command\n", id) //nolint:errcheck // progress
		for _, verb := range [][2]string{{"follow it:", "status --follow"}, {"pause it:", "pause"}, {"end it:", "cancel"}} {
			fmt.Fprintf(f.live, "  %-11s penstock replay %s %s\n", verb[0], verb[1], id) //nolint:errcheck // progress
		}
		return nil
	}
	if err != nil {
		return err
	}
	if f.format != "json" { // there the last event is the result
		if err := rolecmd.Output(f.out, f.format, j, func(w io.Writer) error { return jobResult(w, j) }); err != nil {
			return err
		}
	}
	return jobOutcome(j)
}

// watch shows until the job has ended.
func (f *follower) watch(ctx context.Context, id string) (j api.JobView, err error) {
	var answered, lineAt, updated time.Time
	var phase job.Phase
	var why string
	answered = time.Now()
	for t := time.NewTicker(f.every); ; {
		var now api.JobView
		switch err = getJSON(ctx, f.addr, "/api/v1/jobs/"+url.PathEscape(id), &now); {
		case ctx.Err() != nil:
			t.Stop()
			return j, errInterrupted
		case err == nil:
			j, answered = now, time.Now()
			text := jobLine(j, f.live.width)
			switch {
			case f.format == "json":
				if !j.UpdatedAt.Equal(updated) || j.Phase.Ended() {
					updated = j.UpdatedAt
					if err := json.NewEncoder(f.out).Encode(j); err != nil {
						return j, err
					}
				}
			case f.live.terminal:
				f.live.show(text)
			case time.Since(lineAt) >= plainEvery, j.Phase != phase, stuck(j) != why:
				lineAt, phase, why = time.Now(), j.Phase, stuck(j)
				fmt.Fprintln(f.live, text) //nolint:errcheck // progress
			}
			if j.Phase.Ended() {
				t.Stop()
				return j, nil
			}
		default:
			var status *admin.StatusError
			if errors.As(err, &status) && status.Code != 503 || time.Since(answered) > followPatience {
				t.Stop()
				return j, fmt.Errorf("job %s goes on, and cannot be followed: %w", id, err)
			}
			f.live.show("no answer: " + err.Error())
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return j, errInterrupted
		}
	}
}

// jobLine is a job in one line of at most width.
func jobLine(j api.JobView, width int) string {
	p := j.Progress
	seen := p.Seen()
	text := fmt.Sprintf(" %3.0f %%  %s of %s items", 100*j.Ratio, count(float64(seen.Items)), total(p))
	switch {
	case stuck(j) != "":
		text += "  " + stuck(j)
	case j.Why != "":
		text += "  " + j.Why
	case j.Phase != job.PhaseRunning:
		text += "  " + string(j.Phase)
	default:
		text += fmt.Sprintf("  %s/s", size(p.BytesPerSecond))
		if p.ETASeconds > 0 {
			text += "  left " + seconds(p.ETASeconds)
		}
	}
	if n := p.Dead.Items + p.Damaged.Messages + p.Rejected; n > 0 {
		text += fmt.Sprintf("  %s not taken", count(float64(n)))
	}
	return bar(j.Ratio, min(24, width-len(text)-1)) + text
}

func total(p job.Progress) string {
	text := count(float64(p.Total.Items))
	if p.Estimated {
		text = "about " + text
	}
	return text
}

// bar is [####....] of a width, "" when that is too little.
func bar(ratio float64, width int) string {
	if width < 8 {
		return ""
	}
	full := int(ratio * float64(width-2))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-2-full) + "]"
}

// seconds as people read them: 0.4s, 12s, 3m20s, 5h12m, 3d4h.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// jobResult writes what a job came to.
func jobResult(w io.Writer, j api.JobView) error {
	p := j.Progress
	text := fmt.Sprintf("job %s is %s", j.ID, j.Phase)
	if !j.EndedAt.IsZero() && !j.StartedAt.IsZero() {
		text += " after " + seconds(j.EndedAt.Sub(j.StartedAt).Seconds())
	}
	line := func(name string, a job.Amount) {
		if a != (job.Amount{}) {
			text += fmt.Sprintf("\n  %-12s %s of %s, %s", name, many(a.Items, "item"), many(a.Messages, "message"), size(float64(a.Bytes)))
		}
	}
	line("done", p.Done)
	line("skipped", p.Skipped)
	line("dead", p.Dead)
	line("damaged", p.Damaged)
	line("purged", p.Missing)
	line("duplicates", p.Duplicates)
	if p.Rejected > 0 {
		text += fmt.Sprintf("\n  %-12s %d items", "rejected", p.Rejected)
	}
	for _, n := range j.Note {
		text += "\n  note: " + n
	}
	if j.Error != "" {
		text += "\n  error: " + j.Error
	}
	if j.Why != "" {
		text += "\n  " + j.Why
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// jobOutcome is nil for a job that did all it was to do.
func jobOutcome(j api.JobView) error {
	p := j.Progress
	switch {
	case j.Phase == job.PhaseFailed:
		return fmt.Errorf("job %s failed: %s", j.ID, j.Error)
	case j.Phase == job.PhaseCancelled:
		return fmt.Errorf("job %s was cancelled", j.ID)
	case !replay.Complete(&j.Job):
		return &rolecmd.DegradedError{Err: fmt.Errorf("job %s is done, but not with all: %d items dead-lettered, %d rejected, %d messages damaged, %d purged before they were read",
			j.ID, p.Dead.Items, p.Rejected, p.Damaged.Messages, p.Missing.Messages)}
	}
	return nil
}
