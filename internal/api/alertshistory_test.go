package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter/alertertest"
	"github.com/penstock-otel/penstock/internal/alerting/stats"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

func kinds(events []AlertEvent) (k []string) {
	for _, e := range events {
		k = append(k, e.Kind)
	}
	return k
}

// TestHistoryOfAlerts: what happened, by page, kind, incident and time.
func TestHistoryOfAlerts(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Policy.GroupBy = []string{"..."}
	if h := get[AlertHistory](r, "/alerts/history"); len(h.Events) != 0 || h.Next != "" {
		t.Errorf("before anything: %+v", h)
	}
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning", "n", "1"), alertertest.Alert("Slow", "critical", "n", "2"))
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "critical", "n", "2"))
	s.Evaluate("", "Slow")
	all := get[AlertHistory](r, "/alerts/history").Events
	want := strings.Fields("opened fired opened fired resolved closed resolved closed")
	if !slices.Equal(kinds(all), want) {
		t.Fatalf("%v, want %v", kinds(all), want)
	}
	if e := all[3]; e.Title != "Slow" || e.Severity != "critical" && e.Severity != "warning" || e.Labels["alertname"] != "Slow" || e.Position == 0 || e.StoredAt.IsZero() || len(e.Alert) != 32 {
		t.Errorf("%+v", e)
	}
	if e := all[4]; e.Title != "Slow" || e.Alert == "" || e.Incident == "" {
		t.Errorf("%+v", e)
	}
	// Pages that cut entries in two.
	for limit := 1; limit <= 4; limit++ {
		var got []AlertEvent
		cursor := ""
		for n := 0; n < 20; n++ {
			page := get[AlertHistory](r, "/alerts/history"+q("limit", strconv.Itoa(limit), "cursor", cursor))
			got = append(got, page.Events...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if !slices.Equal(kinds(got), want) {
			t.Errorf("%d a page: %v", limit, kinds(got))
		}
	}
	f := func(query string, want ...string) {
		t.Helper()
		h := get[AlertHistory](r, "/alerts/history"+query)
		if !slices.Equal(kinds(h.Events), want) {
			t.Errorf("%s: %v, want %v", query, kinds(h.Events), want)
		}
	}
	f("?kind=resolved&kind=fired&limit=3", "fired", "fired", "resolved")
	f("?newest=true&limit=2", "resolved", "closed")
	f("?incident="+all[0].Incident, "opened", "fired", "resolved", "closed")
	f(q("since", time.Now().Add(time.Hour).Format(time.RFC3339Nano)))
	f(q("since", time.Now().Add(-time.Hour).Format(time.RFC3339Nano), "until", time.Now().Add(-time.Minute).Format(time.RFC3339Nano)))
	for _, query := range []string{"?cursor=x", "?limit=1001", q("since", "2026-01-02T00:00:00Z", "until", "2026-01-01T00:00:00Z"), "?since=yesterday"} {
		r.refused(http.MethodGet, "/alerts/history"+query, nil, http.StatusUnprocessableEntity)
	}
}

func TestStatsOfAlerts(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	slow := alertertest.Alert("Slow", "warning")
	s.Evaluate("blue", "Slow", slow)
	id := get[IncidentList](r, "/alerts/incidents").Incidents[0].ID
	call[Incident](r, http.MethodPost, "/alerts/incidents/"+id+"/ack", nil, http.StatusOK)
	s.Evaluate("blue", "Slow")
	s.Evaluate("blue", "Slow", slow)
	s.Evaluate("red", "Down", alertertest.Alert("Down", "critical"))
	s.Append(func() ([]alerts.Event, error) {
		return []alerts.Event{{Kind: alerts.EventNotified, At: time.Now(), Tenant: "red", Notified: &alerts.Notified{Group: "g", Receiver: "log/log/0", Millis: 20}}}, nil
	})
	st := get[stats.Stats](r, "/alerts/stats")
	if st.Fired != 3 || st.Resolved != 1 || st.Flaps != 1 || st.Incidents.Acked != 1 || st.Ack.Count != 1 || st.Resolve.Count != 1 || st.AlertResolve.Count != 1 || st.First.IsZero() ||
		len(st.Rules) != 2 || st.Rules[0].Rule != "Slow" || st.Rules[0].Flaps != 1 || st.Severities[0].Name != "critical" || st.Tenants[0] != (stats.Count{Name: "blue", Fired: 2}) || st.Receivers[0].Sent != 1 {
		t.Errorf("%+v", st)
	}
	if st := get[stats.Stats](r, "/alerts/stats?tenant=red&rules=1"); st.Fired != 1 || len(st.Rules) != 1 || st.Rules[0].Rule != "Down" {
		t.Errorf("%+v", st)
	}
	if st := get[stats.Stats](r, "/alerts/stats"+q("until", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))); st.Fired != 0 || st.Rules == nil {
		t.Errorf("%+v", st)
	}
	r.refused(http.MethodGet, "/alerts/stats"+q("since", "2026-01-02T00:00:00Z", "until", "2026-01-01T00:00:00Z"), nil, http.StatusUnprocessableEntity)
}
