package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// shortID is how much of the end of an id tables show, unless two have that.
const shortID = 6

// shorten gives of each id the end by which it can be named among them.
func shorten(ids []string) map[string]string {
	for n := shortID; ; n++ {
		seen := map[string]bool{}
		out := map[string]string{}
		for _, id := range ids {
			short := id[max(0, len(id)-n):]
			seen[short], out[id] = true, short
		}
		if len(seen) == len(out) {
			return out
		}
	}
}

// printable keeps a terminal from doing what is in a text that came with telemetry.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

// clock is a time for people, in their zone.
func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	t = t.Local()
	if time.Since(t).Abs() < 20*time.Hour {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04")
}

// incidentState is the state, with who has it and for how long.
func incidentState(i *api.Incident) string {
	switch i.State {
	case "acked":
		text := "acked by " + printable(i.AckedBy)
		if !i.AckUntil.IsZero() {
			text += " until " + clock(i.AckUntil)
		}
		return text
	case "open":
		if i.Exhausted {
			return "open, and all of its policy were told"
		}
	}
	return i.State
}

// incidentsTable has those that nobody has first, of these the worst, and of these the
// newest.
func incidentsTable(w io.Writer, list []api.Incident, all bool) error {
	if len(list) == 0 {
		text := "nothing fires: there are no incidents that go on"
		if all {
			text = "no incidents, neither now nor a while ago"
		}
		_, err := fmt.Fprintln(w, text)
		return err
	}
	order := map[string]int{"open": 0, "acked": 1, "closed": 2}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b api.Incident) int {
		return cmp.Or(order[a.State]-order[b.State], alerts.Severity(b.Severity).Rank()-alerts.Severity(a.Severity).Rank(), b.OpenedAt.Compare(a.OpenedAt))
	})
	var ids []string
	for _, i := range list {
		ids = append(ids, i.ID)
	}
	short := shorten(ids)
	t := newTable(w)
	t.row("ID\tSEVERITY\tSTATE\tAGE\tLEVEL\tWHO\tALERTS\tTITLE")
	for _, i := range list {
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s", short[i.ID], clip(printable(i.Severity), 8), i.State, age(i.OpenedAt), level(&i), clip(printable(i.AckedBy), 14), i.Firing, clip(printable(i.Title), 40))
	}
	t.flush()
	return t.err
}

// level is how far the policy is.
func level(i *api.Incident) string {
	switch {
	case i.Levels == 0:
		return "–"
	case i.Exhausted:
		return "all"
	case i.Held:
		return "held"
	}
	return fmt.Sprintf("%d/%d", i.Level, i.Levels)
}

func alertsTable(w io.Writer, list []api.Alert, all bool) error {
	if len(list) == 0 {
		text := "nothing fires"
		if all {
			text = "nothing fires, and nothing did a while ago"
		}
		_, err := fmt.Fprintln(w, text)
		return err
	}
	t := newTable(w)
	t.row("RULE\tSEVERITY\tSTATE\tFOR\tVALUE\tMUTED\tLABELS")
	for _, a := range list {
		lasted := age(a.FiredAt)
		if a.State == alerts.Resolved {
			lasted = seconds(max(0, a.ResolvedAt.Sub(a.FiredAt).Seconds()))
		}
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s", clip(printable(a.Rule), 24), clip(printable(a.Severity), 8), a.State, lasted, clip(a.Value, 8), clip(printable(strings.Join(a.Muted, " ")), 16), clip(labelText(a.Labels), 60))
	}
	t.flush()
	return t.err
}

// labelText is what tells an alert from the others of its rule.
func labelText(l map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if name != "alertname" && name != "severity" {
			parts = append(parts, name+"="+l[name])
		}
	}
	return printable(strings.Join(parts, " "))
}

func silencesTable(w io.Writer, list []api.Silence, all bool) error {
	if len(list) == 0 {
		text := "no silences"
		if all {
			text = "no silences, neither now nor a while ago"
		}
		_, err := fmt.Fprintln(w, text)
		return err
	}
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	short := shorten(ids)
	t := newTable(w)
	t.row("ID\tSTATE\tENDS\tTENANT\tBY\tALERTS\tMATCHERS")
	for _, s := range list {
		matchers := printable(strings.Join(s.Matchers, " "))
		if s.Comment != "" {
			matchers += " (" + printable(s.Comment) + ")"
		}
		t.row("%s\t%s\t%s\t%s\t%s\t%d\t%s", short[s.ID], s.State, clock(s.Ends), clip(printable(s.Tenant), 12), clip(printable(s.By), 14), s.Firing, clip(matchers, 60))
	}
	t.flush()
	return t.err
}

// incidentText writes an incident for people: what it is, what fires, the plan, who was
// told, what happened.
func incidentText(w io.Writer, d *api.IncidentDetail) error {
	t := newTable(w)
	row := func(name, text string) {
		if text != "" {
			t.row("%s\t%s", name, text)
		}
	}
	row("incident", d.ID)
	row("title", printable(d.Title))
	row("severity", printable(d.Severity))
	row("tenant", printable(d.Tenant))
	row("state", incidentState(&d.Incident))
	row("began", clock(d.OpenedAt)+", "+age(d.OpenedAt)+" ago")
	if !d.ClosedAt.IsZero() {
		row("ended", clock(d.ClosedAt)+", after "+seconds(max(0, d.ClosedAt.Sub(d.OpenedAt).Seconds())))
	}
	if d.Policy != "" {
		row("policy", fmt.Sprintf("%s, level %s, cycle %d", printable(d.Policy), level(&d.Incident), d.Cycle))
	}
	if len(d.Alerts) > 0 {
		t.head("STATE\tSEVERITY\tSINCE\tVALUE\tLABELS")
	}
	for _, a := range d.Alerts {
		since := a.FiredAt
		if a.State == alerts.Resolved {
			since = a.ResolvedAt
		}
		t.row("%s\t%s\t%s\t%s\t%s", a.State, printable(a.Severity), clock(since), a.Value, printable(a.Rule)+" "+labelText(a.Labels))
		for _, name := range []string{"summary", "description", "runbook_url"} {
			if text := a.Annotations[name]; text != "" {
				t.flush()
				t.row("  %s: %s", name, printable(text))
			}
		}
		if len(a.Muted) > 0 {
			t.flush()
			t.row("  nobody is told: %s", printable(strings.Join(a.Muted, ", ")))
		}
	}
	if len(d.Plan.Levels) > 0 {
		t.head("LEVEL\tAFTER\tWHILE\tTELLS")
	}
	for n, l := range d.Plan.Levels {
		t.row("%d\t%s\t%s\t%s", n+1, seconds(l.After), l.While, printable(strings.Join(l.Targets, ", ")))
	}
	if len(d.Told) > 0 {
		t.head("TOLD\tAT\tLEVEL")
	}
	for _, x := range d.Told {
		of := fmt.Sprint(x.Level)
		if x.Level == 0 {
			of = "exhausted"
		}
		t.row("%s\t%s\t%s", printable(x.Target), clock(x.At), of)
	}
	t.flush()
	if len(d.History) > 0 {
		t.row("")
		t.flush()
	}
	for _, e := range d.History {
		t.row("%s  %s", clock(e.StoredAt), eventText(&e))
		t.flush()
	}
	if d.HistoryError != "" {
		t.row("\nwhat happened cannot be read: %s", d.HistoryError)
		t.flush()
	}
	return t.err
}

// alerterTable is what an alerter says of itself in the status.
func alerterTable(t *table, data json.RawMessage) error {
	var s alerting.Status
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read the state of the alerter: %w", err)
	}
	rules, failed := 0, []string{}
	for _, g := range s.Rules {
		rules += len(g.Rules)
	}
	if rules == 0 {
		t.head("no alerting rules are configured")
	} else {
		role := "another replica tells"
		if s.Tells {
			role = "this replica tells"
		}
		t.head("ALERTER: %s, read up to %s; %s", many(rules, "rule"), clock(s.Watermark), role)
	}
	if !s.CaughtUp {
		failed = append(failed, "  ✗ the log of alerts is not read yet, or cannot be: nothing is told")
	}
	if s.StoreErr != "" {
		failed = append(failed, "  ✗ "+printable(s.Store)+" does not answer: "+printable(s.StoreErr))
	}
	t.flush()
	for _, line := range failed {
		t.row("%s", line)
	}
	t.flush()
	return nil
}
