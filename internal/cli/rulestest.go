package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

func rulesTest() *cobra.Command {
	cmd := &cobra.Command{Use: "test FILE...", Short: "run unit tests of rules, in the form of promtool test rules", Args: cobra.MinimumNArgs(1),
		Long: "Each test has input series and says which alerts and values are to come of them. The rule files that a test file\n" +
			"names may be of the short form too. Exit code 1 when a test fails.",
		Example: "  penstock rules test shop_test.yaml\n  penstock rules test --run night tests/*.yaml"}
	run := cmd.Flags().String("run", "", "`regexp` of the names of the tests to run (default: all)")
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		var only *regexp.Regexp
		if *run != "" {
			var err error
			if only, err = regexp.Compile(*run); err != nil {
				return &rolecmd.UsageError{Err: fmt.Errorf("--run: %w", err)}
			}
		}
		reports := []*promrules.TestReport{}
		failed, all := 0, 0
		for _, name := range args {
			r, err := promrules.RunTests(cmd.Context(), name, "", only)
			if err != nil {
				return err
			}
			reports = append(reports, r)
			failed += r.Failed()
			all += len(r.Tests)
		}
		if err := rolecmd.Output(cmd.OutOrStdout(), *output, reports, func(w io.Writer) error { return testsText(w, reports) }); err != nil {
			return err
		}
		switch {
		case failed > 0:
			return fmt.Errorf("%d of %s failed", failed, many(all, "test"))
		case all == 0:
			return fmt.Errorf("no test was run: there is none of that name in %s", strings.Join(args, ", "))
		}
		return nil
	}
	return cmd
}

func testsText(w io.Writer, reports []*promrules.TestReport) error {
	var b strings.Builder
	for _, r := range reports {
		if n := r.Failed(); n > 0 {
			fmt.Fprintf(&b, "%s: %d of %s failed\n", r.File, n, many(len(r.Tests), "test"))
		} else {
			fmt.Fprintf(&b, "%s: %s passed\n", r.File, many(len(r.Tests), "test"))
		}
		for _, x := range r.Warnings {
			fmt.Fprintf(&b, "  warning: %s\n", x)
		}
		for _, t := range r.Tests {
			if len(t.Failures) == 0 {
				continue
			}
			fmt.Fprintf(&b, "  %s\n", t.Name)
			for _, f := range t.Failures {
				fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(f, "\n", "\n    "))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
