package amapi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// FuzzPostedAlert: whatever is posted is refused, or is an alert that the log takes and
// the API shows.
func FuzzPostedAlert(f *testing.F) {
	for _, text := range []string{`{"labels":{"alertname":"A","b":"c"},"annotations":{"x":"y"},"startsAt":"2026-03-01T12:00:00.000Z","endsAt":"2026-03-01T12:05:00+02:00","generatorURL":"http://h:1/x"}`,
		`{"labels":{"a":"\u0000\ud800"},"endsAt":"9998-12-31T23:59:59.999999999Z"}`, `{"labels":null}`, `null`, `[]`, `{"labels":{"a":"b"},"startsAt":"","generatorURL":"//["}`} {
		f.Add(text)
	}
	now := time.Date(2026, 3, 1, 12, 1, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		x, group, err := finding(json.RawMessage(text), now, 5*time.Minute)
		if err != nil {
			return
		}
		if len(x.Labels) == 0 || len(group) > maxHost || x.Firing != x.EndsAt.After(now) {
			t.Errorf("%s: %+v of %q", text, x, group)
		}
		s := alerts.NewState()
		e := alerts.Evaluation{File: alerts.SourceExternal, Group: group, At: now, Active: []alerts.Finding{x}}
		events := s.Transitions(e, func(string, alerts.Labels) alerts.Policy { return alerts.Policy{} }, now)
		if (len(events) > 0) != x.Firing {
			t.Fatalf("%s: %+v", text, events)
		}
		if !x.Firing {
			return
		}
		b, err := alerts.EncodeEvents(events)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		back, bad, err := alerts.DecodeEvents(b)
		if err != nil || bad != 0 {
			t.Fatalf("%s: %d, %v", b, bad, err)
		}
		s.Apply(alerts.Entry{At: 1, StoredAt: now, Events: back})
		a, ok := s.Alert(alerts.KeyOf("", x.Labels))
		if !ok || len(fingerprint(a.Labels)) != 16 {
			t.Fatalf("%s is not there", text)
		}
		if ended := s.Ended(a.EndsAt); len(ended) != 1 || len(ended[0].Active) != 1 {
			t.Errorf("%s does not end: %+v", text, ended)
		} else if events := s.Transitions(ended[0], nil, a.EndsAt); len(events) == 0 {
			t.Errorf("%s: its end changes nothing", text)
		}
	})
}
