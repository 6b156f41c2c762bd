package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

func auditVerify() *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "walk along the chain and say where it does not hold", Args: cobra.NoArgs,
		Long: "Finds entries that were changed, removed, moved or put in between, and ends with 3 when there are some. Keep the head\n" +
			"that it prints away from the queue and give it to the next one: that finds also that the end was cut off, or that all\n" +
			"was written anew.",
		Example: "  penstock audit verify\n  penstock audit verify --head 1042:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
	kept := cmd.Flags().String("head", "", "`N:HASH` of an entry that was kept: it must be in the chain")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		path := "/api/v1/audit/verify"
		if *kept != "" {
			h, err := audit.ParseHead(*kept)
			if err != nil {
				return &rolecmd.UsageError{Err: fmt.Errorf("--head: %w", err)}
			}
			path += "?" + url.Values{"head": {h.String()}}.Encode()
		}
		l := newLive(cmd.ErrOrStderr())
		var report *audit.Report
		err := admin.Stream(cmd.Context(), addr, path, func(line []byte) error {
			var v api.VerifyLine
			if err := json.Unmarshal(line, &v); err != nil {
				return fmt.Errorf("the answer of %s is not that of this version of Penstock: %w", addr, err)
			}
			switch v.Kind {
			case api.VerifyProgress:
				l.show(fmt.Sprintf("%d of %d entries", v.Done, v.Of))
			case api.VerifyError:
				return fmt.Errorf("the audit chain cannot be read: %s", v.Problem)
			case api.VerifyReport:
				report = v.Report
			}
			return nil
		})
		l.end()
		switch {
		case err != nil:
			return err
		case report == nil && cmd.Context().Err() != nil:
			return cmd.Context().Err()
		case report == nil:
			return errors.New("the answer ended before the report: ask again, or another process")
		}
		if err := rolecmd.Output(cmd.OutOrStdout(), format, report, func(w io.Writer) error { return reportText(w, report) }); err != nil {
			return err
		}
		switch {
		case !report.OK:
			return &rolecmd.DegradedError{Err: fmt.Errorf("the audit chain is broken at %s", many(uint64(len(report.Breaks)+report.More), "place"))}
		case report.Unproved != "":
			return fmt.Errorf("the head that was given proves nothing: %s", report.Unproved)
		}
		return nil
	})
}

func reportText(w io.Writer, r *audit.Report) error {
	t := newTable(w)
	verdict := "the chain holds"
	if !r.OK {
		verdict = "THE CHAIN IS BROKEN"
	}
	t.row("%s: %d entries looked at, from number %d", verdict, r.Entries, r.First)
	if p := r.PurgedTo; p != nil {
		t.row("before: all up to number %d were removed by the rules, as an entry recorded", p.N)
	}
	if r.Since != nil {
		t.row("kept head: number %d is as it was", r.Since.N)
	}
	if r.Unproved != "" {
		t.row("kept head: %s", r.Unproved)
	}
	for _, b := range r.Breaks {
		t.row("  %s: %s", b.Kind, b.Detail)
	}
	if r.More > 0 {
		t.row("  and %s more", many(uint64(r.More), "place"))
	}
	if r.Head.N > 0 {
		t.row("head: %s", r.Head)
	}
	t.flush()
	return t.err
}
