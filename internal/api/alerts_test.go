package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter/alertertest"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/alerting/stats"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// alerting gives the rig an alerter.
func (r *rig) alerting() *alertertest.Service {
	r.t.Helper()
	s := alertertest.New(r.t)
	s.Now = alerting.Status{Rules: []alerting.Group{{File: "f", Name: "g", Interval: 15, Rules: []alerting.Rule{{Name: "Slow", Alerting: true, Expr: "vector(1)"}}}}, Tells: true, Store: "memory", Watermark: time.Now()}
	r.AttachAlerts(s)
	return s
}

// q is a query of names and values in turn.
func q(args ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(args); i += 2 {
		v.Add(args[i], args[i+1])
	}
	return "?" + v.Encode()
}

// everyAlertRoute asks each route of alerts so that it succeeds.
func everyAlertRoute(r *rig) {
	r.t.Helper()
	s := r.alerting()
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning", "service", "a"), alertertest.Alert("Slow", "critical", "service", "b"))
	list := get[AlertList](r, "/alerts")
	if len(list.Alerts) != 2 || list.Next != "" || list.Position == 0 {
		r.t.Errorf("alerts: %+v", list)
	}
	id := get[IncidentList](r, "/alerts/incidents").Incidents[0].ID
	get[IncidentDetail](r, "/alerts/incidents/"+id)
	for _, verb := range []string{"ack", "unack", "resolve"} {
		call[Incident](r, http.MethodPost, "/alerts/incidents/"+id+"/"+verb, nil, http.StatusOK)
	}
	w := call[Silence](r, http.MethodPost, "/alerts/silences", SilenceRequest{Matchers: []string{`alertname="Slow"`}, For: "1h"}, http.StatusCreated)
	get[SilenceList](r, "/alerts/silences")
	call[Silence](r, http.MethodDelete, "/alerts/silences/"+w.ID, nil, http.StatusOK)
	get[AlertHistory](r, "/alerts/history")
	get[stats.Stats](r, "/alerts/stats")
	if st := get[alerting.Status](r, "/alerts/rules"); len(st.Rules) != 1 || st.Rules[0].Rules[0].Name != "Slow" {
		r.t.Errorf("rules: %+v", st)
	}
	if status, body := r.ask(http.MethodGet, "/alerts/watch?after=1&limit=1", nil); status != http.StatusOK {
		r.t.Errorf("watch: %d %s", status, body)
	}
}

// TestWithoutAnAlerter each route says what to do.
func TestWithoutAnAlerter(t *testing.T) {
	r := start(t, admin.Config{})
	for path, item := range r.doc.Paths.Map() {
		if !strings.HasPrefix(path, Prefix+"/alerts") {
			continue
		}
		for method := range item.Operations() {
			var body any
			if method == http.MethodPost {
				body = SilenceRequest{Matchers: []string{"a=b"}, For: "1h"}
				if strings.Contains(path, "{id}") {
					body = nil
				}
			}
			if why := r.refused(method, strings.NewReplacer(Prefix, "", "{id}", "none").Replace(path), body, http.StatusServiceUnavailable); !strings.Contains(why, "runs no alerter") {
				t.Errorf("%s %s says %s", method, path, why)
			}
		}
	}
	s := r.alerting()
	get[AlertList](r, "/alerts")
	r.AttachAlerts(nil)
	r.refused(http.MethodGet, "/alerts", nil, http.StatusServiceUnavailable)
	r.AttachAlerts(behind{s}) // it does not know the log yet
	if why := r.refused(http.MethodGet, "/alerts", nil, http.StatusServiceUnavailable); !strings.Contains(why, "still reads") {
		t.Errorf("says %s", why)
	}
}

// behind has a state that has not read the log.
type behind struct{ *alertertest.Service }

func (behind) State() *alerts.State { return alerts.NewState() }

func TestLists(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Mute = func(a *alerts.Alert) []string {
		if a.Labels.Get("service") == "a" {
			return []string{"silence/X"}
		}
		return nil
	}
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning", "service", "a"), alertertest.Alert("Slow", "critical", "service", "b"))
	s.Evaluate("blue", "Down", alertertest.Alert("Down", "critical", "service", "c"))
	s.Evaluate("blue", "Down") // and it is up again
	f := func(query string, want ...string) {
		t.Helper()
		var got []string
		for _, x := range get[AlertList](r, "/alerts"+query).Alerts {
			got = append(got, x.Labels["service"]+"/"+x.State)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	f("", "a/firing", "b/firing", "c/resolved")
	f("?state=firing", "a/firing", "b/firing")
	f("?state=firing&state=resolved&severity=critical", "b/firing", "c/resolved")
	f("?tenant=blue", "c/resolved")
	f("?rule=Down", "c/resolved")
	f(q("match", `service=~"a|c"`, "match", `severity!="critical"`), "a/firing")
	f("?rule=None")
	for _, x := range get[AlertList](r, "/alerts?state=firing").Alerts {
		muted := x.Labels["service"] == "a"
		if len(x.Muted) != 0 != muted || !slices.Equal(x.Receivers, []string{"log"}) || x.Value != "1.5" || x.Annotations["summary"] != "Slow is not well" || x.Incident == "" || !x.ResolvedAt.IsZero() || x.FiredAt.IsZero() {
			t.Errorf("%+v", x)
		}
	}
	g := func(query string, want ...string) {
		t.Helper()
		var got []string
		for _, x := range get[IncidentList](r, "/alerts/incidents"+query).Incidents {
			got = append(got, x.Title+"/"+x.State)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	g("", "Down/closed", "Slow/open")
	g("?state=open", "Slow/open")
	g("?severity=critical&rule=Slow", "Slow/open") // the worst of its alerts
	g(q("match", `service="b"`), "Slow/open")
	g(q("match", `service="none"`))
	g("?state=acked")

	for _, query := range []string{"?state=broken", "?match=%22", "?cursor=x", "?limit=1001", q("cursor", formatCursor(alerts.Cursor{})), "?nothing=1"} {
		r.refused(http.MethodGet, "/alerts"+query, nil, http.StatusUnprocessableEntity)
	}
}

// TestPages: each is there once, whatever comes meanwhile.
func TestPages(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Policy.GroupBy = []string{"..."}
	var all []alerts.Finding
	for _, name := range strings.Split("abcdefg", "") {
		all = append(all, alertertest.Alert("Slow", "warning", "service", name))
	}
	s.Evaluate("", "Slow", all...)
	seen := map[string]int{}
	pages := 0
	for cursor := ""; ; pages++ {
		page := get[AlertList](r, "/alerts?limit=3"+"&cursor="+cursor)
		for _, x := range page.Alerts {
			seen[x.Labels["service"]]++
		}
		s.Evaluate("", "Other", alertertest.Alert("Other", "warning", "n", cursor))
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 7 || pages != 2 || slices.Max(valuesOf(seen)) != 1 {
		t.Errorf("%d pages more: %v", pages, seen)
	}
	ids := map[string]bool{}
	for cursor := ""; ; {
		page := get[IncidentList](r, "/alerts/incidents?limit=2&cursor="+cursor)
		for _, i := range page.Incidents {
			ids[i.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(ids) != 7+pages+1 {
		t.Errorf("%d incidents", len(ids))
	}
}

func valuesOf(m map[string]int) (v []int) {
	for _, n := range m {
		v = append(v, n)
	}
	return v
}

// TestAnIncidentsLife is what an operator does in a night, each step with what is of it
// then, as a part of its id names it.
func TestAnIncidentsLife(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Policy = alerts.Policy{Name: "night", GroupBy: []string{"alertname"}, AckTimeout: time.Hour,
		Levels: []alerts.Level{{After: 0, Targets: []string{"phone"}, While: alerts.Unacked}, {After: 5 * time.Minute, Targets: []string{"boss"}, While: alerts.Unresolved, Active: []string{"day"}}}}
	slow := alertertest.Alert("Slow", "critical", "service", "a")
	s.Evaluate("", "Slow", slow)
	i := get[IncidentList](r, "/alerts/incidents").Incidents[0]
	if i.State != "open" || i.Title != "Slow" || i.Severity != "critical" || i.Policy != "night" || i.Levels != 2 || i.Level != 0 || i.Firing != 1 || i.OpenedAt.IsZero() {
		t.Errorf("%+v", i)
	}
	s.Append(func() ([]alerts.Event, error) {
		return []alerts.Event{{Kind: alerts.EventEscalated, At: time.Now(), Incident: i.ID, Actor: alerts.ActorEscalation, Escalated: &alerts.Escalated{Cycle: 1, Level: 1, Targets: []string{"phone"}}},
			{Kind: alerts.EventNotified, At: time.Now(), Notified: &alerts.Notified{Group: "g", Receiver: "log/log/0", Firing: []alerts.Key{alerts.KeyOf("", slow.Labels)}, Millis: 1500}},
			{Kind: alerts.EventNotified, At: time.Now(), Notified: &alerts.Notified{Group: "g", Receiver: "other/log/0", Firing: []alerts.Key{"none"}}}}, nil
	})
	short := strings.ToLower(i.ID[len(i.ID)-6:])
	act := func(verb string, body any) Incident {
		t.Helper()
		return call[Incident](r, http.MethodPost, "/alerts/incidents/"+short+"/"+verb, body, http.StatusOK)
	}
	before := time.Now()
	if got := act("ack", AckRequest{AlertActor{"anna"}, "I look at it", "2h"}); got.State != "acked" || got.AckedBy != "anna" || got.AckedAt.IsZero() || got.AckUntil.Before(before.Add(2*time.Hour-time.Second)) || got.AckUntil.After(time.Now().Add(2*time.Hour)) {
		t.Errorf("acked: %+v", got)
	}
	if got := act("unack", IncidentRequest{Comment: "not mine"}); got.State != "open" || got.AckedBy != "" || got.Cycle != 2 {
		t.Errorf("given back: %+v", got)
	}
	if got := act("ack", nil); got.AckedBy != "anonymous at 127.0.0.1" || !got.AckUntil.IsZero() {
		t.Errorf("acked without a word: %+v", got)
	}
	d := get[IncidentDetail](r, "/alerts/incidents/"+short)
	var kinds []string
	for _, e := range d.History {
		kinds = append(kinds, e.Kind)
	}
	if want := strings.Fields("opened fired escalated notified acked unacked acked"); !slices.Equal(kinds, want) || d.HistoryError != "" {
		t.Errorf("its history is %v %s, want %v", kinds, d.HistoryError, want)
	}
	if e := d.History[4]; e.Actor != "anna" || e.Reason != "I look at it" || e.Until.IsZero() || e.Title != "Slow" || e.Incident != i.ID {
		t.Errorf("the ack is %+v", e)
	}
	if e := d.History[3]; e.Receiver != "log/log/0" || e.Seconds != 1.5 || e.Firing != 1 || e.Title != "Slow" {
		t.Errorf("the notification is %+v", e)
	}
	if len(d.Alerts) != 1 || d.Alerts[0].Labels["service"] != "a" || len(d.Told) != 1 || d.Told[0].Target != "phone" || d.Told[0].Level != 1 ||
		d.Plan.Name != "night" || d.Plan.AckTimeout != 3600 || len(d.Plan.Levels) != 2 || d.Plan.Levels[1].After != 300 || d.Plan.Levels[1].While != "unresolved" || d.Plan.Levels[1].Active[0] != "day" {
		t.Errorf("%+v", d)
	}
	if d := get[IncidentDetail](r, "/alerts/incidents/"+short+"?history=false"); d.History != nil {
		t.Errorf("with history: %+v", d.History)
	}
	if got := act("resolve", IncidentRequest{AlertActor{"anna"}, "fixed"}); got.State != "closed" || got.Firing != 0 || got.Resolved != 1 || got.ClosedAt.IsZero() {
		t.Errorf("resolved: %+v", got)
	}
	for _, verb := range []string{"ack", "unack", "resolve"} {
		if why := r.refused(http.MethodPost, "/alerts/incidents/"+i.ID+"/"+verb, nil, http.StatusConflict); !strings.Contains(why, "is closed since") {
			t.Errorf("%s: %s", verb, why)
		}
	}
	// What fires in the next evaluation fires again.
	s.Evaluate("", "Slow", slow)
	if n := len(get[AlertList](r, "/alerts?state=firing").Alerts); n != 1 {
		t.Errorf("%d fire again", n)
	}

	for _, x := range []struct {
		path, body string
		want       int
		says       string
	}{
		{"ZZZZZZ/ack", "", 404, `incident "ZZZZZZ" is not known`}, {i.ID[23:] + "/ack", "", 404, "not known"}, // 3 characters
		{i.ID + "/ack", `{"for": "soon"}`, 422, "for is"}, {i.ID + "/ack", `{"for": "-1h"}`, 422, "want more than 0s"}, {i.ID + "/ack", `{"for": "400d"}`, 422, "at most 366d"},
		{i.ID + "/ack", `{"by": "key:root"}`, 422, "without colons"}, {i.ID + "/ack", `{"by": "a\u009b2J"}`, 422, "printable"}, {i.ID + "/ack", `{"who": "x"}`, 422, ""}, {i.ID + "/ack", `{`, 400, ""},
	} {
		var body any
		if x.body != "" {
			body = x.body
		}
		if why := r.refused(http.MethodPost, "/alerts/incidents/"+x.path, body, x.want); !strings.Contains(why, x.says) {
			t.Errorf("%s %s: %s", x.path, x.body, why)
		}
	}
	for action, want := range map[string]int{"ack incident": 8, "unack incident": 2, "resolve incident": 2} {
		if n := len(r.audit.of(action)); n != want {
			t.Errorf("%s was recorded %d times, want %d", action, n, want)
		}
	}
	e := r.audit.of("ack incident")[0]
	if e.Outcome != audit.Done || e.Details[0] != (audit.Detail{Name: "incident", Value: i.ID}) || !slices.Contains(e.Details, audit.Detail{Name: "by", Value: "anna"}) || !slices.Contains(e.Details, audit.Detail{Name: "comment", Value: "I look at it"}) || !strings.HasPrefix(e.Peer, "127.0.0.1:") {
		t.Errorf("recorded: %+v", e)
	}
	if e := r.audit.of("resolve incident")[1]; e.Outcome != audit.Failed || !strings.Contains(e.Reason, "is closed") {
		t.Errorf("recorded: %+v", e)
	}
}

// TestAnAmbiguousName names nothing: the beginning of two ids of the same second.
func TestAnAmbiguousName(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Policy.GroupBy = []string{"..."}
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "critical", "n", "1"), alertertest.Alert("Slow", "critical", "n", "2"))
	list := get[IncidentList](r, "/alerts/incidents").Incidents
	why := r.refused(http.MethodPost, "/alerts/incidents/"+list[0].ID[:6]+"/ack", nil, http.StatusConflict)
	if !strings.Contains(why, list[0].ID) || !strings.Contains(why, list[1].ID) {
		t.Errorf("says %s", why)
	}
	for _, i := range get[IncidentList](r, "/alerts/incidents").Incidents {
		if i.State != "open" {
			t.Errorf("%+v", i)
		}
	}
}

func TestSilences(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning", "service", "a"), alertertest.Alert("Slow", "warning", "service", "b"))
	s.Evaluate("blue", "Slow", alertertest.Alert("Slow", "warning", "service", "a"))
	add := func(b SilenceRequest) Silence {
		t.Helper()
		return call[Silence](r, http.MethodPost, "/alerts/silences", b, http.StatusCreated)
	}
	w := add(SilenceRequest{AlertActor: AlertActor{"anna"}, Matchers: []string{`service="a"`}, For: "2h", Comment: "known"})
	if w.ID == "" || w.State != "active" || w.By != "anna" || w.Comment != "known" || w.Firing != 1 || w.Ends.Sub(w.Starts) != 2*time.Hour || w.Tenant != "" {
		t.Errorf("%+v", w)
	}
	later := add(SilenceRequest{Matchers: []string{`service=~".+"`}, Starts: time.Now().Add(time.Hour), Ends: time.Now().Add(2 * time.Hour), Tenant: "blue"})
	if later.State != "pending" || later.Tenant != "blue" || later.Firing != 1 {
		t.Errorf("%+v", later)
	}
	if held := s.State().Silences(); len(held) != 2 {
		t.Errorf("the state has %+v", held)
	}
	list := get[SilenceList](r, "/alerts/silences").Silences
	if len(list) != 2 || list[0].ID != w.ID || list[1].ID != later.ID {
		t.Errorf("%+v", list)
	}
	if list := get[SilenceList](r, "/alerts/silences?state=pending&tenant=blue").Silences; len(list) != 1 || list[0].ID != later.ID {
		t.Errorf("%+v", list)
	}
	ended := call[Silence](r, http.MethodDelete, "/alerts/silences/"+w.ID[len(w.ID)-5:]+"?by=otto", nil, http.StatusOK)
	if ended.State != "expired" || ended.ID != w.ID {
		t.Errorf("%+v", ended)
	}
	call[Silence](r, http.MethodDelete, "/alerts/silences/"+w.ID, nil, http.StatusOK) // again: it is so already
	if list := get[SilenceList](r, "/alerts/silences").Silences; len(list) != 2 || list[0].ID != later.ID || list[1].State != "expired" {
		t.Errorf("%+v", list)
	}
	for _, x := range []struct {
		body SilenceRequest
		says string
	}{
		{SilenceRequest{Matchers: []string{"a=b"}}, "for how long"},
		{SilenceRequest{Matchers: []string{"a=b"}, For: "1h", Ends: time.Now().Add(time.Hour)}, "one of for and ends"},
		{SilenceRequest{Matchers: []string{"a=b"}, Ends: time.Now().Add(-time.Hour)}, "is over"},
		{SilenceRequest{Matchers: []string{"a=b"}, Ends: time.Now().Add(400 * 24 * time.Hour)}, "366d"},
		{SilenceRequest{Matchers: []string{`service=~".*"`}, For: "1h"}, "match every alert"},
		{SilenceRequest{Matchers: []string{`service=~"("`}, For: "1h"}, "service"},
		{SilenceRequest{Matchers: []string{"service"}, For: "1h"}, "service"},
		{SilenceRequest{Matchers: []string{}, For: "1h"}, ""},
		{SilenceRequest{Matchers: []string{"a=b"}, For: "1h", AlertActor: AlertActor{"key:root"}}, "without colons"},
		{SilenceRequest{Matchers: []string{"a=b"}, For: "1h", Comment: strings.Repeat("x", 1025)}, ""},
	} {
		if why := r.refused(http.MethodPost, "/alerts/silences", x.body, http.StatusUnprocessableEntity); !strings.Contains(why, x.says) {
			t.Errorf("%+v: %s", x.body, why)
		}
	}
	r.refused(http.MethodDelete, "/alerts/silences/NONE", nil, http.StatusNotFound)
	r.refused(http.MethodDelete, "/alerts/silences/"+w.ID+"?by=a:b", nil, http.StatusUnprocessableEntity)
	if e := r.audit.of("add silence"); len(e) != 3 || e[2].Outcome != audit.Failed || e[0].Details[0] != (audit.Detail{Name: "matchers", Value: `["service=\"a\""]`}) {
		t.Errorf("recorded %+v", e)
	}
	if e := r.audit.of("end silence"); len(e) != 3 || e[0].Outcome != audit.Done || !slices.Contains(e[0].Details, audit.Detail{Name: "by", Value: "otto"}) || e[2].Outcome != audit.Failed {
		t.Errorf("recorded %+v", e)
	}
}

// tenants is an authenticator with an operator of all, one of blue, and one who speaks
// for two.
func tenants(t *testing.T) (*identity.Authenticator, map[string]string) {
	t.Helper()
	secrets := map[string]string{}
	var all []identity.Key
	for _, k := range []identity.Key{{Name: "all"}, {Name: "blue", Tenant: "blue"}, {Name: "two", Tenant: "blue", Tenants: []string{"red"}}, {Name: "any", Tenant: "blue", Tenants: []string{"*"}}} {
		k.Roles, k.Created = []string{"operate"}, time.Now()
		k, secret, err := identity.NewKey(k)
		if err != nil {
			t.Fatal(err)
		}
		all, secrets[k.Name] = append(all, k), secret.Reveal()
	}
	text, err := identity.FormatKeys(all)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := identity.New(t.Context(), identity.Config{KeysFile: name}, identity.Options{Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a, secrets
}

// TestATenantSeesItsOwn: and changes nobody else's, as if there was nothing.
func TestATenantSeesItsOwn(t *testing.T) {
	a, secrets := tenants(t)
	r := startAs(t, admin.Config{}, a, secrets["all"])
	s := r.alerting()
	for _, tenant := range []string{"", "blue", "red", "green"} {
		s.Evaluate(tenant, "Slow", alertertest.Alert("Slow", "critical"))
	}
	ids := map[string]string{}
	as := func(who, method, path string, body any, want int, into any) {
		t.Helper()
		status, answer := r.ask(method, path, body, "X-Api-Key", secrets[who])
		if status != want {
			t.Errorf("%s %s as %s: %d %s, want %d", method, path, who, status, answer, want)
			return
		}
		if into != nil {
			if err := json.Unmarshal(answer, into); err != nil {
				t.Error(err)
			}
		}
	}
	for who, want := range map[string]string{"all": "+blue+green+red", "any": "+blue+green+red", "blue": "blue", "two": "blue+red"} {
		var list IncidentList
		as(who, http.MethodGet, "/alerts/incidents", nil, http.StatusOK, &list)
		var got []string
		for _, i := range list.Incidents {
			got, ids[i.Tenant] = append(got, i.Tenant), i.ID
		}
		slices.Sort(got)
		if strings.Join(got, "+") != want {
			t.Errorf("%s sees the incidents of %v", who, got)
		}
		var al AlertList
		as(who, http.MethodGet, "/alerts", nil, http.StatusOK, &al)
		var h AlertHistory
		as(who, http.MethodGet, "/alerts/history?kind=fired", nil, http.StatusOK, &h)
		var st stats.Stats
		as(who, http.MethodGet, "/alerts/stats", nil, http.StatusOK, &st)
		if n := len(got); len(al.Alerts) != n || len(h.Events) != n || st.Fired != n || len(st.Tenants) != n {
			t.Errorf("%s sees %d alerts, %d events, %d and %v in statistics", who, len(al.Alerts), len(h.Events), st.Fired, st.Tenants)
		}
	}
	as("blue", http.MethodGet, "/alerts/incidents/"+ids["blue"], nil, http.StatusOK, nil)
	as("blue", http.MethodGet, "/alerts/incidents/"+ids["red"], nil, http.StatusNotFound, nil)
	as("two", http.MethodGet, "/alerts/incidents/"+ids["red"], nil, http.StatusOK, nil)
	for _, verb := range []string{"ack", "unack", "resolve"} {
		as("blue", http.MethodPost, "/alerts/incidents/"+ids["red"]+"/"+verb, nil, http.StatusNotFound, nil)
	}
	for _, path := range []string{"/alerts", "/alerts/incidents", "/alerts/history", "/alerts/stats", "/alerts/silences", "/alerts/watch"} {
		as("blue", http.MethodGet, path+"?tenant=red", nil, http.StatusForbidden, nil)
	}
	var i Incident
	as("blue", http.MethodPost, "/alerts/incidents/"+ids["blue"]+"/ack", AckRequest{AlertActor: AlertActor{"somebody"}}, http.StatusOK, &i)
	if i.AckedBy != "key:blue" {
		t.Errorf("acked by %q, and it was key:blue", i.AckedBy)
	}
	b := SilenceRequest{Matchers: []string{`alertname="Slow"`}, For: "1h"}
	var own, other Silence
	as("blue", http.MethodPost, "/alerts/silences", b, http.StatusCreated, &own)
	if own.Tenant != "blue" || own.By != "key:blue" || own.Firing != 1 {
		t.Errorf("%+v", own)
	}
	as("two", http.MethodPost, "/alerts/silences", b, http.StatusUnprocessableEntity, nil) // of which?
	b.Tenant = "red"
	as("blue", http.MethodPost, "/alerts/silences", b, http.StatusForbidden, nil)
	as("two", http.MethodPost, "/alerts/silences", b, http.StatusCreated, &other)
	as("blue", http.MethodDelete, "/alerts/silences/"+other.ID, nil, http.StatusNotFound, nil)
	var list SilenceList
	as("blue", http.MethodGet, "/alerts/silences", nil, http.StatusOK, &list)
	if len(list.Silences) != 1 || list.Silences[0].ID != own.ID {
		t.Errorf("%+v", list)
	}
	// A watch of blue is told of blue alone: the silences, of which one is red's.
	status, body := r.ask(http.MethodGet, "/alerts/watch?after=1&limit=3", nil, "X-Api-Key", secrets["blue"])
	if status != http.StatusOK || strings.Contains(string(body), `"tenant":"red"`) || strings.Contains(string(body), `"tenant":"green"`) || strings.Count(string(body), `"tenant":"blue"`) != 3 {
		t.Errorf("%d %s", status, body)
	}
}

// TestTheLogFails: each of its errors has an answer, and is recorded as failed.
func TestTheLogFails(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "critical"))
	id := get[IncidentList](r, "/alerts/incidents").Incidents[0].ID
	for err, want := range map[error]int{alerts.ErrFull: http.StatusInsufficientStorage, alerts.ErrUnavailable: http.StatusServiceUnavailable, alerts.ErrTooLarge: http.StatusUnprocessableEntity} {
		r.AttachAlerts(failing{s, err})
		if why := r.refused(http.MethodPost, "/alerts/incidents/"+id+"/ack", nil, want); !strings.Contains(why, err.Error()) {
			t.Errorf("%v: %s", err, why)
		}
	}
	if e := r.audit.of("ack incident"); len(e) != 3 || e[0].Outcome != audit.Failed {
		t.Errorf("recorded %+v", e)
	}
}

// failing has a log that fails.
type failing struct {
	*alertertest.Service
	err error
}

func (f failing) Log() alerts.Log { return failingLog{f.Service.Log(), f.err} }

type failingLog struct {
	alerts.Log
	err error
}

func (f failingLog) Append(context.Context, uint64, []alerts.Event) (uint64, error) { return 0, f.err }
