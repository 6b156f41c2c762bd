package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/role"
)

func replayRun() *cobra.Command {
	cmd := &cobra.Command{Use: "run", Short: "run one replay in this process, to its end", Args: cobra.NoArgs,
		Long: "Connects to the queue itself (queue.url), runs the replay here and ends with it: for a Kubernetes Job or cron. With\n" +
			"--id a process that is started again goes on where the last one was, and one whose job has ended does not send\n" +
			"anything twice. Exit code 0: everything of the window was confirmed; 3: some was not taken, or was purged before it\n" +
			"could be sent; 1: failed, cancelled or stopped.",
		Example: "  penstock replay run --config penstock.yaml --id nightly --from -1d --destination archive"}
	config := rolecmd.Add(cmd)
	flags := addSpecFlags(cmd)
	id := cmd.Flags().String("id", "", "`name` of the job; started again under it the replay goes on")
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		s, err := flags.spec()
		if err != nil {
			return err
		}
		p, err := config.Process()
		if err != nil {
			return err
		}
		live := newLive(cmd.ErrOrStderr())
		p.Out, p.Log = live.above(cmd.OutOrStdout()), live
		j, err := role.ReplayOnce(cmd.Context(), p, role.Replay{Name: *id, Spec: s, Tell: tellRun(live, cmd.OutOrStdout(), *output)})
		live.end()
		if j.ID == "" {
			return err
		}
		v := api.View(j)
		if *output != "json" {
			if failed := rolecmd.Output(cmd.OutOrStdout(), *output, v, func(w io.Writer) error { return jobResult(w, v) }); failed != nil {
				return failed
			}
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, replay.ErrStopped) && *id == "" {
			return fmt.Errorf("%w; it was given no --id: cancel it with penstock replay cancel %s, it holds the queue until then", err, j.ID)
		}
		if err != nil {
			return err
		}
		return jobOutcome(v)
	}
	return cmd
}

// tellRun shows a job that runs in this process.
func tellRun(live *live, out io.Writer, format string) func(job.Job) {
	var lineAt time.Time
	return func(j job.Job) {
		v := api.View(j)
		switch {
		case format == "json":
			_ = json.NewEncoder(out).Encode(v) // output that is gone ends the process by its signal
		case live.terminal:
			live.show(jobLine(v, live.width))
		case time.Since(lineAt) >= plainEvery:
			lineAt = time.Now()
			_, _ = fmt.Fprintln(live, jobLine(v, live.width)) // progress
		}
	}
}
