package alerts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// story is a state whose log and clock the test is. Each slot is a second of story
// time, and stored when it is found.
type story struct {
	t       *testing.T
	s       *alerts.State
	now     time.Time
	policy  alerts.Policy
	entries []alerts.Entry
	failed  []string
	rules   []string
	names   map[string]string // of incidents: I1, I2
}

func tell(t *testing.T) *story {
	return &story{t: t, s: alerts.NewState(), now: noon, names: map[string]string{}, rules: []string{"A", "B"},
		policy: alerts.Policy{Name: "p", GroupBy: []string{"job"}, Reopen: 5 * time.Minute, Levels: []alerts.Level{{Targets: []string{"x"}, While: alerts.Unacked}}}}
}

func (s *story) policyOf(string, alerts.Labels) alerts.Policy { return s.policy }

// find makes labels of "A job=x severity=critical".
func find(text string) (rule string, l alerts.Labels) {
	words := strings.Fields(text)
	list := []alerts.Label{{Name: "alertname", Value: words[0]}}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		list = append(list, alerts.Label{Name: name, Value: value})
	}
	return words[0], alerts.LabelsOf(list...)
}

func key(text string) alerts.Key {
	_, l := find(text)
	return alerts.KeyOf("blue", l)
}

func (s *story) evaluation(active ...string) alerts.Evaluation {
	e := alerts.Evaluation{Tenant: "blue", File: "f", Group: "g", At: s.now, Evaluated: s.rules, Failed: s.failed}
	for _, text := range active {
		text, pending := strings.CutSuffix(text, " pending")
		rule, l := find(text)
		e.Active = append(e.Active, alerts.Finding{Rule: rule, Labels: l, Firing: !pending, ActiveAt: s.now, FiredAt: s.now})
	}
	return e
}

// found tells of an evaluation, and wants these events.
func (s *story) found(active []string, want ...string) {
	s.t.Helper()
	s.tells(s.evaluation(active...), want...)
}

func (s *story) tells(e alerts.Evaluation, want ...string) {
	s.t.Helper()
	s.stores(s.s.Transitions(e, s.policyOf, s.now), want...)
	if again := s.s.Transitions(e, s.policyOf, s.now); again != nil {
		s.t.Errorf("the same evaluation again: %s", s.words(again))
	}
}

// does appends what somebody wants.
func (s *story) does(events []alerts.Event, err error) func(want ...string) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return func(want ...string) { s.t.Helper(); s.stores(events, want...) }
}

func (s *story) stores(events []alerts.Event, want ...string) {
	s.t.Helper()
	if got := s.words(events); !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", s.now.Format("15:04:05"), got, want)
	}
	if len(events) == 0 {
		return
	}
	before := s.s.Counts()
	s.append(events...)
	if after := s.s.Counts(); after != before {
		s.t.Errorf("of %q something does not fit: %+v", s.words(events), after)
	}
}

func (s *story) append(events ...alerts.Event) {
	s.t.Helper()
	e := alerts.Entry{At: uint64(len(s.entries) + 1), StoredAt: s.now, Events: coded(s.t, events)}
	s.entries = append(s.entries, e)
	s.s.Apply(e)
}

// words are what events are, with what matters of them.
func (s *story) words(events []alerts.Event) (words []string) {
	for _, e := range events {
		w := string(e.Kind)
		if e.Incident != "" {
			if s.names[e.Incident] == "" {
				s.names[e.Incident] = fmt.Sprintf("I%d", len(s.names)+1)
			}
			w += " " + s.names[e.Incident]
		}
		if e.Fired != nil {
			w += " " + e.Fired.Rule
		}
		if e.Kind == alerts.EventResolved {
			a, _ := s.s.Alert(e.Alert)
			w += " " + a.Rule
		}
		if e.Severity != "" {
			w += " " + string(e.Severity)
		}
		if e.Reason != "" {
			w += " (" + e.Reason + ")"
		}
		words = append(words, w)
	}
	return words
}

func (s *story) after(d time.Duration) { s.now = s.now.Add(d) }

func (s *story) incident(name string) alerts.Incident {
	s.t.Helper()
	for id, n := range s.names {
		if n == name {
			if i, ok := s.s.Incident(id); ok {
				return i
			}
		}
	}
	s.t.Fatalf("there is no incident %s", name)
	return alerts.Incident{}
}

func (s *story) notified(k alerts.Kind, receiver, firing, resolved string) {
	s.t.Helper()
	n := &alerts.Notified{Group: "n", Receiver: receiver}
	for text := range strings.SplitSeq(firing, ",") {
		if text != "" {
			n.Firing = append(n.Firing, key(text))
		}
	}
	for text := range strings.SplitSeq(resolved, ",") {
		if text != "" {
			n.Resolved = append(n.Resolved, key(text))
		}
	}
	s.append(alerts.Event{Kind: k, Tenant: "blue", Notified: n})
}

// coded is what is read of what was stored.
func coded(t *testing.T, events []alerts.Event) []alerts.Event {
	t.Helper()
	b, err := alerts.EncodeEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	out, bad, err := alerts.DecodeEvents(b)
	if err != nil || bad > 0 {
		t.Fatal(bad, err)
	}
	return out
}

// same wants two states to hold the same.
func same(t *testing.T, what string, a, b *alerts.State) {
	t.Helper()
	text := func(s *alerts.State) [][]byte {
		snap := s.Snapshot()
		var out [][]byte
		for _, v := range []any{snap.Alerts, snap.Incidents, snap.Silences, snap.Sent, s.Owed(), s.At()} {
			b, err := json.MarshalIndent(v, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b)
		}
		return out
	}
	x, y := text(a), text(b)
	for n := range x {
		if !bytes.Equal(x[n], y[n]) {
			t.Fatalf("%s:\n%.3000s\n%.3000s", what, x[n], y[n])
		}
	}
}
