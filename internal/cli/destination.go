package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

func destination() *cobra.Command {
	cmd := &cobra.Command{Use: "destination", Short: "see who has a place in the queue, and give one up",
		Long: "Each destination that was ever configured has a durable in the queue, which holds what it has not taken until it\n" +
			"has it, or until it is dropped."}
	cmd.AddCommand(destinationList(), destinationDrop())
	return cmd
}

func destinationDrop() *cobra.Command {
	cmd := &cobra.Command{Use: "drop NAME", Short: "give a destination up for good", Args: cobra.ExactArgs(1),
		Long: "Removes the durables of a destination: what it has not taken will not be delivered to it, counts as purged by an\n" +
			"operator, and no longer keeps the queue from being purged. Take it out of the configuration of every process first.",
		Example: "  penstock destination drop old-backend"}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	force := cmd.Flags().Bool("force", false, "also while a running process has it, which makes it again at its next start")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		if !*yes {
			ok, err := confirm(cmd, fmt.Sprintf("give up destination %s, and what it has not taken?", args[0]))
			if err != nil || !ok {
				return err
			}
		}
		var d api.Dropped
		path := fmt.Sprintf("/api/v1/destinations/%s?force=%t", url.PathEscape(args[0]), *force)
		if err := askJSON(cmd.Context(), http.MethodDelete, addr, path, nil, &d); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, d, func(w io.Writer) error {
			t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
			fmt.Fprintf(t, "destination %s is given up\n\nSTREAM\tMESSAGES NOT TAKEN\n", d.Destination) //nolint:errcheck // Flush tells
			for _, s := range d.Streams {
				fmt.Fprintf(t, "%s\t%d\n", s.Stream, s.Messages) //nolint:errcheck // Flush tells
			}
			return t.Flush()
		})
	})
}

func destinationList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "list who has a place in the queue, with what each has not taken", Args: cobra.NoArgs}
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		var all api.Destinations
		if err := getJSON(cmd.Context(), addr, "/api/v1/destinations", &all); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, all, func(w io.Writer) error {
			t := newTable(w)
			destinationsTable(t, all.Destinations)
			t.flush()
			return t.err
		})
	})
}
