package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerter/hindsight"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

func rulesTry() *cobra.Command {
	cmd := &cobra.Command{Use: "try FILE...", Short: "what would have fired, from the queue's own history", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeRules,
		Long: "Connects to the queue itself (queue.url), reads the metrics that it still has and evaluates the rules on them, slot\n" +
			"after slot in the time of the data. Nobody is notified, and no consumer is disturbed. How far back it goes is for\n" +
			"retention.replay_window to say; what is not there any more is told.",
		Example: "  penstock rules try --queue-url nats://queue:4222 --since 2h rules/*.yaml\n  penstock rules try --config penstock.yaml --since 2026-01-31T22:00:00Z --until 2026-02-01T02:00:00Z -o json predefined:cpu"}
	config := rolecmd.Add(cmd)
	since := cmd.Flags().String("since", "-1h", "begin with what was stored at this `time`: RFC 3339, or ago")
	until := cmd.Flags().String("until", "", "end with what was stored at this `time` (default: now)")
	offset := cmd.Flags().Duration("query-offset", 5*time.Second, "how long after a slot its data may come")
	engine := addEngineFlags(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		o, err := engine.options()
		if err != nil {
			return err
		}
		from, to, err := window(*since, *until, time.Now())
		if err != nil {
			return err
		}
		if *offset <= 0 {
			return &rolecmd.UsageError{Err: fmt.Errorf("--query-offset is %s: want more than 0s", *offset)}
		}
		files, err := allRules(args)
		if err != nil {
			return err
		}
		p, err := config.Process()
		if err != nil {
			return err
		}
		if p.Settings.Queue.Embedded() {
			return &rolecmd.UsageError{Err: errors.New("there is no queue to ask: set queue.url, for an embedded queue to its queue.listen")}
		}
		live := newLive(cmd.ErrOrStderr())
		p.Log = live
		var report *hindsight.Report
		err = role.ReadQueue(cmd.Context(), p, "rules", func(q queue.Queue, streams []string, log *slog.Logger) (err error) {
			report, err = hindsight.Try(cmd.Context(), hindsight.Options{Source: q, Streams: streams, Files: files, From: from, Until: to, QueryOffset: *offset, Engine: o, Tell: tellReading(live), Logger: log})
			return err
		})
		live.end()
		if err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), *output, report, func(w io.Writer) error { return tryText(w, report) })
	}
	return cmd
}

// tellReading shows how far the reading is.
func tellReading(live *live) func(hindsight.Progress) {
	var lineAt time.Time
	return func(p hindsight.Progress) {
		every := 200 * time.Millisecond
		if !live.terminal {
			every = plainEvery
		}
		if lineAt.IsZero() && !live.terminal { // what is quick is not worth a line in a log
			lineAt = time.Now()
		}
		if time.Since(lineAt) < every {
			return
		}
		lineAt = time.Now()
		if line := readingLine(p, live.width); live.terminal {
			live.show(line)
		} else {
			_, _ = fmt.Fprintln(live, line) // progress
		}
	}
}

// readingLine has a bar where there is room.
func readingLine(p hindsight.Progress, width int) string {
	line := fmt.Sprintf("%3.0f %%  at %s  %s samples", 100*p.Ratio(), p.At.Local().Format("2006-01-02 15:04:05"), count(float64(p.Samples)))
	room := min(24, width-len(line)-4)
	if room < 8 {
		return line
	}
	full := int(p.Ratio() * float64(room))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]" + line
}

// maxShown are alerts in a table; -o json has them all.
const maxShown = 100

// tryText is for people. What comes from telemetry is quoted.
func tryText(w io.Writer, r *hindsight.Report) error {
	t := newTable(w)
	for _, n := range r.Notes {
		t.row("note: %s", n)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Dropped)) {
		t.row("note: %s samples were left out as %s", count(float64(r.Dropped[reason])), reason)
	}
	t.row("%s to %s (%s), %s samples of %s: %s would have fired; nobody was told", stamp(r.From), stamp(r.Until), seconds(r.Until.Sub(r.From).Seconds()),
		count(float64(r.Samples)), many(len(r.Tenants), "tenant"), many(len(r.Alerts)+r.LeftOut, "alert"))
	if len(r.Alerts) > 0 {
		t.head("FIRED\tFOR\tSEVERITY\tALERT\tLABELS")
	}
	for i, a := range r.Alerts {
		if i == maxShown {
			break
		}
		long := "still"
		if !a.ResolvedAt.IsZero() {
			long = seconds(a.ResolvedAt.Sub(a.FiredAt).Seconds())
		}
		t.row("%s\t%s\t%s\t%s\t%s", stamp(a.FiredAt), long, severityOf(a.Labels), a.Rule, labelsText(a.Tenant, a.Labels))
	}
	if more := len(r.Alerts) - maxShown + r.LeftOut; more > 0 && len(r.Alerts) > maxShown {
		t.row("and %d more; -o json has up to 10,000", more)
	}
	t.head("RULE\tFIRED\tTOGETHER\t")
	for _, x := range r.Rules {
		what := ""
		switch {
		case x.Failed > 0:
			what = fmt.Sprintf("failed %d times: %.200q", x.Failed, x.Error)
		case x.Fired == 0 && x.Pending:
			what = "its condition held, but not for long enough"
		}
		long := "–"
		if x.Fired > 0 {
			long = seconds(x.Seconds)
		}
		t.row("%s\t%d\t%s\t%s", x.Name, x.Fired, long, what)
	}
	t.flush()
	return t.err
}

func stamp(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05") }

func severityOf(l alerts.Labels) string {
	if s := l.Get("severity"); s != "" {
		return strings.Trim(strconv.QuoteToGraphic(s), `"`)
	}
	return "–"
}

// labelsText leaves out what has a column.
func labelsText(tenant string, l alerts.Labels) string {
	var parts []string
	if tenant != "" {
		parts = append(parts, "tenant "+strconv.QuoteToGraphic(tenant))
	}
	for _, x := range l {
		if x.Name != "alertname" && x.Name != "severity" {
			parts = append(parts, x.Name+"="+strconv.QuoteToGraphic(x.Value))
		}
	}
	return strings.Join(parts, " ")
}
