package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/deadletter"
)

func dlq() *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Short: "look at dead letters, deliver them again, or remove them",
		Long: "Dead letters are what no retry could deliver: rejected by the destination, too large, expired or damaged. They are\n" +
			"kept until they are redriven or purged."}
	cmd.AddCommand(dlqList(), dlqShow(), dlqRedrive(), dlqPurge())
	return cmd
}

// letterFlags pick dead letters.
type letterFlags struct {
	f            deadletter.Filter
	since, until string
	sequences    []uint
}

func addLetterFlags(cmd *cobra.Command) *letterFlags {
	l := &letterFlags{}
	fs := cmd.Flags()
	fs.StringVar(&l.f.Destination, "destination", "", "that did not take them")
	fs.StringVar(&l.f.Reason, "reason", "", "damaged, rejected, too_large or expired")
	fs.StringVar(&l.f.Code, "code", "", "the destination's code, such as INVALID_ARGUMENT or HTTP 400")
	fs.StringVar(&l.f.Tenant, "tenant", "", "of the message")
	fs.StringVar(&l.f.Signal, "signal", "", "traces, metrics or logs")
	fs.StringVar(&l.f.Stream, "stream", "", "where the message lay")
	fs.StringVar(&l.since, "since", "", "dead-lettered at this `time` or later: RFC 3339, or ago, such as -2h")
	fs.StringVar(&l.until, "until", "", "dead-lettered before this `time`")
	fs.StringSliceVar(&l.f.IDs, "id", nil, "of the message or the letter, again for more")
	return l
}

// addSequences is for commands that act on letters by their number too.
func (l *letterFlags) addSequences(cmd *cobra.Command) {
	cmd.Flags().UintSliceVar(&l.sequences, "sequence", nil, "of the letter, as dlq ls shows it, again for more")
}

// filter is what the flags say.
func (l *letterFlags) filter() (deadletter.Filter, error) {
	now := time.Now()
	var err error
	if l.f.Since, err = parseWhen(l.since, now); err != nil {
		return l.f, &rolecmd.UsageError{Err: fmt.Errorf("--since: %w", err)}
	}
	if l.f.Until, err = parseWhen(l.until, now); err != nil {
		return l.f, &rolecmd.UsageError{Err: fmt.Errorf("--until: %w", err)}
	}
	for _, s := range l.sequences {
		l.f.Sequences = append(l.f.Sequences, uint64(s))
	}
	if err := l.f.Validate(); err != nil {
		return l.f, &rolecmd.UsageError{Err: err}
	}
	return l.f, nil
}

// query is a filter as the routes that list take it.
func letterQuery(f deadletter.Filter) url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"destination": f.Destination, "reason": f.Reason, "code": f.Code, "tenant": f.Tenant, "signal": f.Signal, "stream": f.Stream} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	for _, id := range f.IDs {
		q.Add("id", id)
	}
	return q
}

func dlqList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "list dead letters, or count them by kind with --summary", Args: cobra.NoArgs,
		Example: "  penstock dlq ls --summary\n  penstock dlq ls --destination backend --since -1h"}
	letters := addLetterFlags(cmd)
	summary := cmd.Flags().Bool("summary", false, "count them by destination, reason, signal and tenant")
	limit := cmd.Flags().Int("limit", 100, "letters to list; 0: all")
	after := cmd.Flags().Uint64("after", 0, "list only letters behind this sequence")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		f, err := letters.filter()
		if err != nil {
			return err
		}
		q := letterQuery(f)
		if *summary {
			var s deadletter.Summary
			if err := getJSON(cmd.Context(), addr, "/api/v1/dlq/summary?"+q.Encode(), &s); err != nil {
				return err
			}
			return rolecmd.Output(cmd.OutOrStdout(), format, s, func(w io.Writer) error { return summaryTable(w, s) })
		}
		page := api.Letters{Letters: []deadletter.Info{}, Next: *after}
		for {
			want := 1000
			if *limit > 0 {
				want = min(want, *limit-len(page.Letters))
			}
			q.Set("limit", strconv.Itoa(want))
			q.Set("after", strconv.FormatUint(page.Next, 10))
			var next api.Letters
			if err := getJSON(cmd.Context(), addr, "/api/v1/dlq?"+q.Encode(), &next); err != nil {
				return err
			}
			page.Letters, page.Next = append(page.Letters, next.Letters...), next.Next
			if page.Next == 0 || *limit > 0 && len(page.Letters) >= *limit {
				break
			}
		}
		if err := rolecmd.Output(cmd.OutOrStdout(), format, page, func(w io.Writer) error { return lettersTable(w, page.Letters) }); err != nil {
			return err
		}
		if page.Next > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "there are more: --after %d, or --limit 0 for all\n", page.Next) //nolint:errcheck // a hint
		}
		return nil
	})
}

func lettersTable(w io.Writer, letters []deadletter.Info) error {
	if len(letters) == 0 {
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "SEQUENCE\tAGE\tDESTINATION\tREASON\tCODE\tSIGNAL\tITEMS") //nolint:errcheck // Flush tells
	for _, l := range letters {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%d\n", l.Sequence, age(l.KeptAt), clip(l.Destination, 16), l.Reason, clip(l.Code, 14), l.Signal, l.Items) //nolint:errcheck // Flush tells
	}
	return t.Flush()
}

func summaryTable(w io.Writer, s deadletter.Summary) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) } //nolint:errcheck // Flush tells
	row("%s, %s, %s", many(s.Letters, "dead letter"), many(s.Items, "item"), size(float64(s.Bytes)))
	if len(s.Groups) > 0 {
		row("\nDESTINATION\tREASON\tSIGNAL\tTENANT\tLETTERS\tITEMS\tNEWEST")
	}
	for _, g := range s.Groups {
		row("%s\t%s\t%s\t%s\t%d\t%d\t%s", clip(g.Destination, 16), g.Reason, g.Signal, clip(g.Tenant, 14), g.Letters, g.Items, age(g.Newest))
	}
	return t.Flush()
}

func dlqShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show SEQUENCE", Short: "show one dead letter and what it holds", Args: cobra.ExactArgs(1)}
	head := cmd.Flags().Bool("no-payload", false, "leave out what it holds")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		seq, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return &rolecmd.UsageError{Err: fmt.Errorf("%q is no sequence of a dead letter: see penstock dlq ls", args[0])}
		}
		var s deadletter.Shown
		if err := getJSON(cmd.Context(), addr, fmt.Sprintf("/api/v1/dlq/%d?payload=%t", seq, !*head), &s); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, s, func(w io.Writer) error { return letterText(w, s) })
	})
}

func dlqPurge() *cobra.Command {
	cmd := &cobra.Command{Use: "purge", Short: "remove dead letters for good", Args: cobra.NoArgs,
		Long: "Counts the letters that the flags pick, asks, and removes them for good. Away from a terminal it wants --yes.\n" +
			"The ledger counts what was purged.",
		Example: "  penstock dlq purge --destination gone --dry-run\n  penstock dlq purge --destination gone --yes"}
	letters := addLetterFlags(cmd)
	letters.addSequences(cmd)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	dry := cmd.Flags().Bool("dry-run", false, "count them alone")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		f, err := letters.filter()
		if err != nil {
			return err
		}
		purge := func(f deadletter.Filter, dry bool) (p api.Purged, err error) {
			return p, askJSON(cmd.Context(), http.MethodPost, addr, "/api/v1/dlq/purge", api.PurgeRequest{Filter: f, Confirm: !dry, DryRun: dry}, &p)
		}
		p, err := purge(f, true)
		if err != nil {
			return err
		}
		if !*dry && p.Letters > 0 {
			if !*yes {
				ok, err := confirm(cmd, fmt.Sprintf("remove %s with %s for good?", many(p.Letters, "dead letter"), many(p.Items, "item")))
				if err != nil || !ok {
					return err
				}
			}
			f.UpTo = p.Last // what was counted, and nothing that came since
			if p, err = purge(f, false); err != nil {
				return err
			}
		}
		p.DryRun = *dry
		return rolecmd.Output(cmd.OutOrStdout(), format, p, func(w io.Writer) error {
			verb := "removed"
			if p.DryRun {
				verb = "would remove"
			}
			_, err := fmt.Fprintf(w, "%s %s with %s, %s\n", verb, many(p.Letters, "dead letter"), many(p.Items, "item"), size(float64(p.Bytes)))
			return err
		})
	})
}
