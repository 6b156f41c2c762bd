package cli

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/ledger"
)

func ledgerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ledger", Short: "see what became of everything that was accepted",
		Long: "The ledger adds up for each signal and destination, and for each tenant: accepted = pending + sent + rejected +\n" +
			"dead-lettered + purged + unwanted, which is what the destination's routes leave out. What is in none of them is lost."}
	cmd.AddCommand(ledgerShow(), ledgerForgive())
	return cmd
}

func ledgerShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "show the sums, with those of each tenant", Args: cobra.NoArgs}
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		var l ledger.Ledger
		if err := getJSON(cmd.Context(), addr, "/api/v1/ledger", &l); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, l, func(w io.Writer) error {
			t := newTable(w)
			ledgerTable(t, l, true)
			for _, p := range l.Problems {
				t.row("  problem: %s", p)
			}
			t.flush()
			return t.err
		})
	})
}

func ledgerForgive() *cobra.Command {
	cmd := &cobra.Command{Use: "forgive", Short: "say that it is known why data is missing", Args: cobra.NoArgs,
		Long: "What is missing now counts as purged by an operator from the next look of the ledger on, so that status --check tells\n" +
			"of the next loss and not of this one for ever. It brings nothing back. Find out first who took it: the process that is\n" +
			"asked logs who forgave."}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		if !*yes {
			ok, err := confirm(cmd, "count what is missing as purged by an operator?")
			if err != nil || !ok {
				return err
			}
		}
		var f api.Forgiven
		if err := askJSON(cmd.Context(), http.MethodPost, addr, "/api/v1/ledger/forgive", nil, &f); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, f, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%d missing items count as purged by an operator, from the next look of the ledger on\n", f.Missing)
			return err
		})
	})
}
