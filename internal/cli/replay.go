package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
)

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "replay", Short: "send again what the queue still holds",
		Long: "The queue keeps what was exported for retention.replay_window. A replay sends a window of it to any destination,\n" +
			"beside live traffic and no faster than its rate. It is a job in the queue: a worker runs it, another goes on when\n" +
			"that one dies, and it can be paused, resumed and cancelled from anywhere."}
	cmd.AddCommand(replayPlan(), replayStart(), replayStatus(), wishCommand("replay", "pause"), wishCommand("replay", "resume"), wishCommand("replay", "cancel"), replayRun())
	return cmd
}

func replayPlan() *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Short: "show what a replay would send, before anything moves", Args: cobra.NoArgs,
		Example: "  penstock replay plan --from -2h --destination backend\n  penstock replay plan --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z --where service.name=shop --destination backend"}
	flags := addSpecFlags(cmd)
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		s, err := flags.spec()
		if err != nil {
			return err
		}
		var p replay.Plan
		if err := askJSON(cmd.Context(), http.MethodPost, addr, "/api/v1/replay/plan", s, &p); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, p, func(w io.Writer) error { return planTable(w, p) })
	})
}

func replayStart() *cobra.Command {
	cmd := &cobra.Command{Use: "start", Short: "start a replay and follow it", Args: cobra.NoArgs,
		Long: "Prints the plan, starts the job and shows how it goes until it has ended. Ctrl-C looks away and leaves the job\n" +
			"running. Exit code 0: everything of the window was confirmed; 3: something was not taken; 1: failed or cancelled.",
		Example: "  penstock replay start --from -2h --destination backend\n  penstock replay start --from -1d --signal logs --endpoint new-backend:4317 --insecure --rate 50MiB --detach"}
	flags := addSpecFlags(cmd)
	id := cmd.Flags().String("id", "", "`name` of the job; the same name starts it once")
	detach := cmd.Flags().Bool("detach", false, "print the job and do not follow it")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		s, err := flags.spec()
		if err != nil {
			return err
		}
		var p replay.Plan
		if err := askJSON(cmd.Context(), http.MethodPost, addr, "/api/v1/replay/plan", s, &p); err != nil {
			return err
		}
		if err := planTable(cmd.ErrOrStderr(), p); err != nil {
			return err
		}
		var j api.JobView
		if err := askJSON(cmd.Context(), http.MethodPost, addr, "/api/v1/replay", api.ReplayRequest{ID: *id, Spec: s}, &j); err != nil {
			return err
		}
		return begun(cmd, addr, format, j, *detach)
	})
}

// begun follows a job that was started, or prints it.
func begun(cmd *cobra.Command, addr, format string, j api.JobView, detach bool) error {
	if detach {
		return rolecmd.Output(cmd.OutOrStdout(), format, j, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "job %s started\n  follow it: penstock replay status --follow %s\n", j.ID, j.ID)
			return err
		})
	}
	return newFollower(cmd, addr, format).follow(cmd.Context(), j.ID)
}

func newFollower(cmd *cobra.Command, addr, format string) *follower {
	return &follower{live: newLive(cmd.ErrOrStderr()), out: cmd.OutOrStdout(), addr: addr, format: format, every: followEvery}
}

func replayStatus() *cobra.Command {
	cmd := &cobra.Command{Use: "status [JOB]", Short: "show all replays and redrives, or one", Args: cobra.MaximumNArgs(1),
		Long: "Without a name it lists the jobs that are there; with one it shows that job, and with --follow how it goes until it\nhas ended."}
	follow := cmd.Flags().BoolP("follow", "f", false, "show how the job goes until it has ended")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		if len(args) == 0 {
			if *follow {
				return &rolecmd.UsageError{Err: fmt.Errorf("--follow wants the name of a job")}
			}
			var all api.Jobs
			if err := getJSON(cmd.Context(), addr, "/api/v1/jobs", &all); err != nil {
				return err
			}
			return rolecmd.Output(cmd.OutOrStdout(), format, all, func(w io.Writer) error { return jobsTable(w, all) })
		}
		if *follow {
			return newFollower(cmd, addr, format).follow(cmd.Context(), args[0])
		}
		var j api.JobView
		if err := getJSON(cmd.Context(), addr, "/api/v1/jobs/"+url.PathEscape(args[0]), &j); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, j, func(w io.Writer) error {
			if !j.Phase.Ended() {
				if _, err := fmt.Fprintln(w, jobLine(j, 80)); err != nil {
					return err
				}
			}
			return jobResult(w, j)
		})
	})
}

// wishCommand tells a job what its operator wants.
func wishCommand(of, verb string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " JOB", Short: verb + " a " + of + " or any other job", Args: cobra.ExactArgs(1)}
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		var j api.JobView
		if err := askJSON(cmd.Context(), http.MethodPost, addr, "/api/v1/jobs/"+url.PathEscape(args[0])+"/"+verb, nil, &j); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, j, func(w io.Writer) error {
			text := string(j.Phase)
			if j.Phase == job.PhaseRunning && j.Wish != job.WishRun {
				text = "still running; it is asked to " + string(j.Wish)
			}
			_, err := fmt.Fprintf(w, "job %s is %s\n", j.ID, text)
			return err
		})
	})
}

// planTable writes a plan at 80 columns.
func planTable(w io.Writer, p replay.Plan) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) } //nolint:errcheck // Flush tells
	row("STREAM\tSEQUENCES\tMESSAGES\tITEMS\tBYTES\tSTORED")
	for _, s := range p.Streams {
		span := "none"
		if s.End > s.First {
			span = fmt.Sprintf("%d–%d", s.First, s.End-1)
		}
		row("%s\t%s\t%d\t%d\t%s\t%s", s.Stream, span, s.Match.Messages, s.Match.Items, size(float64(s.Match.RawBytes)), size(float64(s.Match.StoredBytes)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	text := fmt.Sprintf("\n%d messages, %d items, %s before compression", p.Match.Messages, p.Match.Items, size(float64(p.Match.RawBytes)))
	if p.Estimated {
		text += ", estimated"
	}
	if p.AtMost {
		text += ", at most"
	}
	if p.BytesPerSecond > 0 {
		text += fmt.Sprintf("\nat %s/s it takes %s", size(float64(p.BytesPerSecond)), seconds(p.Seconds))
	}
	if p.HeldBytes > 0 {
		text += fmt.Sprintf("\nuntil it is over the queue keeps up to %s for it", size(float64(p.HeldBytes)))
	}
	for _, n := range p.Notes {
		text += "\nnote: " + n
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// jobsTable lists jobs at 80 columns.
func jobsTable(w io.Writer, all api.Jobs) error {
	if len(all.Jobs) == 0 && all.Error == "" {
		_, err := fmt.Fprintln(w, "no jobs")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) } //nolint:errcheck // Flush tells
	row("JOB\tKIND\tPHASE\tDONE\tRATE\tLEFT\tAGE")
	for _, j := range all.Jobs {
		rate, left := "–", "–"
		if j.Phase == job.PhaseRunning {
			rate = size(j.Progress.BytesPerSecond) + "/s"
			if j.Progress.ETASeconds > 0 {
				left = seconds(j.Progress.ETASeconds)
			}
		}
		row("%s\t%s\t%s\t%.0f %%\t%s\t%s\t%s", clip(j.ID, 26), j.Kind, j.Phase, 100*j.Ratio, rate, left, seconds(time.Since(j.CreatedAt).Seconds()))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, j := range all.Jobs {
		if why := stuck(j); why != "" {
			row("  %s", folded(j.ID+": "+why, 76, 6, "\n    "))
		}
	}
	if all.Error != "" {
		row("some cannot be read: %s", all.Error)
	}
	return t.Flush()
}
