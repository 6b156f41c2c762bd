package cli

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerting/stats"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

// between adds --since and --until to a command; what it returns puts them into a
// query.
func between(cmd *cobra.Command, since string) func(q url.Values) error {
	from := cmd.Flags().String("since", since, "what was stored at this `time` or later: RFC 3339, or ago, such as -2h or -7d")
	to := cmd.Flags().String("until", "", "and before this `time` (default: now)")
	return func(q url.Values) error {
		now := time.Now()
		for name, text := range map[string]string{"since": *from, "until": *to} {
			at, err := parseWhen(text, now)
			if err != nil {
				return &rolecmd.UsageError{Err: fmt.Errorf("--%s: %w", name, err)}
			}
			if !at.IsZero() {
				q.Set(name, at.UTC().Format(time.RFC3339Nano))
			}
		}
		return nil
	}
}

func alertsHistory() *cobra.Command {
	cmd := &cobra.Command{Use: "history", Short: "what happened, the newest last", Args: cobra.NoArgs,
		Long:    "Lists the last things that happened to alerts, as long as alerter.history.retention keeps them.",
		Example: "  penstock alerts history --since -8h\n  penstock alerts history --incident DSTMAC\n  penstock alerts history --kind notify_failed --kind notify_dropped --since -7d -o json"}
	window := between(cmd, "-24h")
	fs := cmd.Flags()
	kinds := fs.StringSlice("kind", nil, "kinds of events, as fired, acked or notify_failed, again for more")
	tenants := fs.StringSlice("tenant", nil, "tenants, again for more")
	incident := fs.String("incident", "", "`id` of an incident, or its end")
	limit := fs.Int("limit", 100, "the last so many; 0: all")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		if *limit < 0 || *limit > 1000 {
			return &rolecmd.UsageError{Err: fmt.Errorf("--limit is %d: want 1 to 1000, or 0 for all", *limit)}
		}
		q := url.Values{"kind": *kinds, "tenant": *tenants}
		if err := window(q); err != nil {
			return err
		}
		if *incident != "" {
			id, err := incidentID(cmd, addr, *incident)
			if err != nil {
				return err
			}
			q.Set("incident", id)
		}
		out, err := readHistory(cmd, addr, q, *limit)
		if err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, out, func(w io.Writer) error { return historyText(w, out.Events) })
	})
}

// fullID is the length of an id: what is as long need not be known any more.
const fullID = 26

// incidentID is the whole id of a part of one.
func incidentID(cmd *cobra.Command, addr, id string) (string, error) {
	if len(id) >= fullID {
		return id, nil
	}
	var d api.IncidentDetail
	err := getJSON(cmd.Context(), addr, alertsPath+"/incidents/"+url.PathEscape(id)+"?history=false", &d)
	return d.ID, err
}

// readHistory reads the last so many events, or, with 0, all.
func readHistory(cmd *cobra.Command, addr string, q url.Values, limit int) (out api.AlertHistory, err error) {
	if limit > 0 {
		q.Set("newest", "true")
		q.Set("limit", strconv.Itoa(limit))
		return out, getJSON(cmd.Context(), addr, alertsPath+"/history?"+q.Encode(), &out)
	}
	out.Events = []api.AlertEvent{}
	for {
		var page api.AlertHistory
		if err := getJSON(cmd.Context(), addr, alertsPath+"/history?"+q.Encode(), &page); err != nil {
			return out, err
		}
		out.Events = append(out.Events, page.Events...)
		if page.Next == "" {
			return out, nil
		}
		q.Set("cursor", page.Next)
	}
}

func historyText(w io.Writer, events []api.AlertEvent) error {
	if len(events) == 0 {
		_, err := fmt.Fprintln(w, "nothing happened in that time, or it is not kept any more")
		return err
	}
	for n := range events {
		if err := eventLine(w, &events[n], 0); err != nil {
			return err
		}
	}
	return nil
}

// eventLine writes a line of at most width characters; 0: of any length.
func eventLine(w io.Writer, e *api.AlertEvent, width int) error {
	at := e.StoredAt
	if at.IsZero() {
		at = time.Now()
	}
	line := at.Local().Format("2006-01-02 15:04:05") + "  " + eventText(e)
	if width > 0 {
		line = clip(line, width)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func alertsStats() *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "how much fires, how fast people answer, which rules are noisy", Args: cobra.NoArgs,
		Example: "  penstock alerts stats --since -30d\n  penstock alerts stats --tenant acme -o json"}
	window := between(cmd, "-7d")
	tenants := cmd.Flags().StringSlice("tenant", nil, "tenants, again for more")
	rules := cmd.Flags().Int("rules", 10, "how many rules, the noisiest; 0: all")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		q := url.Values{"tenant": *tenants, "rules": {strconv.Itoa(*rules)}}
		if err := window(q); err != nil {
			return err
		}
		var s stats.Stats
		if err := getJSON(cmd.Context(), addr, alertsPath+"/stats?"+q.Encode(), &s); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, s, func(w io.Writer) error { return statsTable(w, &s) })
	})
}

func statsTable(w io.Writer, s *stats.Stats) error {
	t := newTable(w)
	from := s.Since
	if s.First.After(from) {
		from = s.First
	}
	t.row("%s fired and %d resolved since %s; %s fired again within 15 minutes", many(s.Fired, "alert"), s.Resolved, clock(from), many(s.Flaps, "alert"))
	i := &s.Incidents
	t.row("%s, %d reopened, %d closed; %s, %s, %d without an answer", many(i.Opened, "incident"), i.Reopened, i.Closed, many(i.Acked, "ack"), many(i.Escalated, "level")+" told", i.Exhausted)
	if s.Fired+i.Opened+len(s.Receivers) == 0 {
		t.flush()
		return t.err
	}
	t.head("TIME\tCOUNT\tMEDIAN\tMEAN\tLONGEST")
	for _, x := range []struct {
		name string
		stats.Times
	}{{"until somebody had it", s.Ack}, {"until an incident was over", s.Resolve}, {"until an alert was over", s.AlertResolve}} {
		if x.Count == 0 {
			t.row("%s\t0\t–\t–\t–", x.name)
			continue
		}
		t.row("%s\t%d\t%s\t%s\t%s", x.name, x.Count, seconds(x.Median), seconds(x.Mean), seconds(x.Max))
	}
	if len(s.Rules) > 0 {
		t.head("RULE\tFIRED\tRESOLVED\tFLAPS\tFIRING FOR")
	}
	for _, r := range s.Rules {
		t.row("%s\t%d\t%d\t%d\t%s", clip(printable(r.Rule), 40), r.Fired, r.Resolved, r.Flaps, wait(r.Firing))
	}
	for _, c := range []struct {
		head string
		list []stats.Count
	}{{"SEVERITY", s.Severities}, {"TENANT", s.Tenants}} {
		if len(c.list) > 0 {
			t.head("%s\tFIRED", c.head)
		}
		for _, x := range c.list {
			t.row("%s\t%d", clip(printable(x.Name), 40), x.Fired)
		}
	}
	if len(s.Receivers) > 0 {
		t.head("RECEIVER\tSENT\tFAILED\tDROPPED\tSUCCESS\tMEAN")
	}
	for _, r := range s.Receivers {
		t.row("%s\t%d\t%d\t%d\t%.1f %%\t%s", clip(printable(r.Receiver), 34), r.Sent, r.Failed, r.Dropped, 100*r.Success, wait(r.Mean))
	}
	if s.Cut > 0 {
		t.head("%d times something was left out of the counts by name and of the times: there is too much; ask for less time", s.Cut)
	}
	t.flush()
	return t.err
}
