package cli

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/replay"
)

func dlqRedrive() *cobra.Command {
	cmd := &cobra.Command{Use: "redrive", Short: "deliver dead letters again", Args: cobra.NoArgs,
		Long: "Delivers the letters that the flags pick, to the destination that did not take them or to another, as a job that a\n" +
			"worker runs; what is confirmed leaves the dead-letter stream, what is not stays. Shows how it goes until it has\n" +
			"ended; Ctrl-C looks away and leaves the job running. Exit code 0: all were taken; 3: some were not.",
		Example: "  penstock dlq redrive --destination backend --reason rejected\n  penstock dlq redrive --sequence 17,18 --to other"}
	letters := addLetterFlags(cmd)
	letters.addSequences(cmd)
	fs := cmd.Flags()
	to := fs.String("to", "", "a configured destination that gets them (default: that of each letter)")
	rate := fs.String("rate", "", "bytes before compression a second, such as 20MiB, or unlimited")
	items := fs.Int("items-rate", 0, "items a second (default: no bound)")
	id := fs.String("job", "", "`name` of the job; the same name starts it once")
	detach := fs.Bool("detach", false, "print the job and do not follow it")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		f, err := letters.filter()
		if err != nil {
			return err
		}
		r := api.RedriveRequest{ID: *id, Redrive: replay.Redrive{Filter: f, Destination: *to, ItemsRate: *items, Unlimited: *rate == "unlimited"}}
		if *rate != "" && !r.Unlimited {
			if r.Rate, err = config.ParseByteSize(*rate); err != nil {
				return &rolecmd.UsageError{Err: fmt.Errorf("--rate: %w", err)}
			}
		}
		// A job for nothing would wait for a worker all the same, perhaps for
		// ever. Letters that are named are looked for by the job.
		if *id == "" && len(f.Sequences) == 0 {
			var s deadletter.Summary
			if err := getJSON(cmd.Context(), addr, "/api/v1/dlq/summary?"+letterQuery(f).Encode(), &s); err != nil {
				return err
			}
			if s.Letters == 0 && format == "table" {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no dead letters that the flags pick: nothing to redrive")
				return err
			}
		}
		var j api.JobView
		if err := askJSON(cmd.Context(), http.MethodPost, addr, "/api/v1/dlq/redrive", r, &j); err != nil {
			return err
		}
		return begun(cmd, addr, format, j, *detach)
	})
}
