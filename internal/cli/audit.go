package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

// maxDetail is where the text of a detail is cut in a table, in characters: behind
// what refusals say. The JSON has all.
const maxDetail = 160

// auditEvery is the pace of looks for new entries.
const auditEvery = time.Second

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "see who operated and who was not let in, and that nobody has changed it",
		Long: "What operators do and who is refused is kept in the stream PENSTOCK_AUDIT as a chain: each entry has the hash of the\n" +
			"one before. See docs/audit.md."}
	cmd.AddCommand(auditList(), auditVerify())
	return cmd
}

func auditList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "list entries, the newest last", Args: cobra.NoArgs,
		Long: "Lists the last entries that the flags pick. With --follow it goes on with those that come, until Ctrl-C; then\n" +
			"-o json and yaml write each entry by itself.",
		Example: "  penstock audit ls --since -1d --outcome refused\n  penstock audit ls --action replay --subject key:ops -o json\n  penstock audit ls --follow"}
	fs := cmd.Flags()
	since := fs.String("since", "", "stored at this `time` or later: RFC 3339, or ago, such as -2h")
	until := fs.String("until", "", "stored before this `time`")
	action := fs.String("action", "", "a `text` that the action has in it")
	subject := fs.String("subject", "", "a `text` that the subject has in it")
	outcome := fs.String("outcome", "", "done, failed or refused")
	limit := fs.Int("limit", 100, "the last so many; 0: all")
	follow := fs.Bool("follow", false, "go on with those that come")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		if *limit < 0 {
			return &rolecmd.UsageError{Err: fmt.Errorf("--limit is %d: want 0 or more", *limit)}
		}
		q := url.Values{}
		now := time.Now()
		for name, text := range map[string]string{"since": *since, "until": *until} {
			at, err := parseWhen(text, now)
			if err != nil {
				return &rolecmd.UsageError{Err: fmt.Errorf("--%s: %w", name, err)}
			}
			if !at.IsZero() {
				q.Set(name, at.UTC().Format(time.RFC3339Nano))
			}
		}
		for name, text := range map[string]string{"action": *action, "subject": *subject, "outcome": *outcome} {
			if text != "" {
				q.Set(name, text)
			}
		}
		page, err := auditPage(cmd.Context(), addr, q, *limit)
		if err != nil {
			return err
		}
		if !*follow {
			return rolecmd.Output(cmd.OutOrStdout(), format, page, func(w io.Writer) error { return auditTable(w, page.Entries, true) })
		}
		return auditFollow(cmd, addr, format, q, page)
	})
}

// auditPage gets the last limit entries, 0: all.
func auditPage(ctx context.Context, addr string, q url.Values, limit int) (page api.AuditEntries, err error) {
	page.Entries = []audit.Item{}
	ask := func(p url.Values, into *api.AuditEntries) error {
		return getJSON(ctx, addr, "/api/v1/audit?"+p.Encode(), into)
	}
	if limit > 0 && limit <= audit.MaxListed {
		p := copyValues(q)
		p.Set("newest", "true")
		p.Set("limit", strconv.Itoa(limit))
		return page, ask(p, &page)
	}
	for {
		p := copyValues(q)
		p.Set("after", strconv.FormatUint(page.Last, 10))
		var next api.AuditEntries
		if err := ask(p, &next); err != nil {
			return page, err
		}
		page.Last = next.Last
		page.Entries = append(page.Entries, next.Entries...)
		if limit > 0 && len(page.Entries) > limit {
			page.Entries = page.Entries[len(page.Entries)-limit:]
		}
		if len(next.Entries) == 0 {
			return page, nil
		}
	}
}

func copyValues(q url.Values) url.Values {
	out := url.Values{}
	for name, values := range q {
		out[name] = values
	}
	return out
}

// auditFollow shows what there is, and then what comes.
func auditFollow(cmd *cobra.Command, addr, format string, q url.Values, page api.AuditEntries) error {
	head := true
	for t := time.NewTicker(auditEvery); ; {
		switch {
		case format == "table" && (head || len(page.Entries) > 0):
			if err := auditTable(cmd.OutOrStdout(), page.Entries, head); err != nil {
				return err
			}
			head = false
		case format != "table":
			for _, i := range page.Entries {
				if err := auditOne(cmd.OutOrStdout(), format, i); err != nil {
					return err
				}
			}
		}
		select {
		case <-t.C:
		case <-cmd.Context().Done():
			t.Stop()
			return nil
		}
		p := copyValues(q)
		p.Set("after", strconv.FormatUint(page.Last, 10))
		var next api.AuditEntries
		if err := getJSON(cmd.Context(), addr, "/api/v1/audit?"+p.Encode(), &next); err != nil {
			t.Stop()
			if cmd.Context().Err() != nil {
				return nil
			}
			return err
		}
		page = next
	}
}

// auditOne writes an entry as a line of JSON, or a YAML document.
func auditOne(w io.Writer, format string, i audit.Item) error {
	if format == "json" {
		return json.NewEncoder(w).Encode(i)
	}
	if _, err := io.WriteString(w, "---\n"); err != nil {
		return err
	}
	return rolecmd.Output(w, format, i, nil)
}

func auditTable(w io.Writer, items []audit.Item, head bool) error {
	if len(items) == 0 {
		if head {
			_, err := fmt.Fprintln(w, "no audit entries")
			return err
		}
		return nil
	}
	// The columns are as wide in every part, so that followed ones stand below each other.
	const row = "%-6v %-20s %-8s %-22s %-24s %s\n"
	if head {
		if _, err := fmt.Fprintf(w, row, "N", "TIME", "OUTCOME", "ACTION", "SUBJECT", "WHAT"); err != nil {
			return err
		}
	}
	for _, i := range items {
		e := i.Event
		if i.Problem != "" {
			e = audit.Event{At: i.StoredAt, Outcome: "foreign", Action: "–", Subject: "–", Reason: i.Problem}
		}
		who := e.Subject
		if who == "" && e.Outcome != audit.Refused {
			who = e.Process // that did it; who was refused is not known
		}
		if e.Outcome == audit.Refused && e.Method == "" && e.Subject != "" {
			who += "?" // only claimed
		}
		if _, err := fmt.Fprintf(w, row, i.N, e.At.Local().Format("2006-01-02 15:04:05"), e.Outcome, clip(e.Action, 22), clip(who, 24), auditWhat(e)); err != nil {
			return err
		}
	}
	return nil
}

// auditWhat is what else there is to say of an event.
func auditWhat(e audit.Event) string {
	var parts []string
	if e.Count > 1 {
		parts = append(parts, fmt.Sprintf("%d times", e.Count))
	}
	if e.Reason != "" {
		parts = append(parts, clip(e.Reason, maxDetail))
	}
	if e.Peer != "" {
		parts = append(parts, "from "+e.Peer)
	}
	if e.Outcome == audit.Refused && e.Listener != "" {
		parts = append(parts, "at "+e.Listener)
	}
	for _, d := range e.Details {
		parts = append(parts, d.Name+"="+clip(d.Value, maxDetail))
	}
	return strings.Join(parts, ", ")
}
