package alerts_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/escalation"
)

// TestAnyHistory: for histories from seeds, wherever one begins to read, the state is
// the same; what was read twice changes nothing; and an evaluation whose events are
// applied wants nothing more.
func TestAnyHistory(t *testing.T) {
	for seed := range uint64(60) {
		s := history(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		whole := fold(nil, s.entries)
		same(t, fmt.Sprintf("seed %d: folded at once", seed), s.s, whole)
		for cut := 0; cut <= len(s.entries); cut += 1 + len(s.entries)/15 {
			part := fold(nil, s.entries[:cut])
			twice := fold(fold(nil, s.entries[:cut]), s.entries[:cut])
			same(t, fmt.Sprintf("seed %d: %d entries twice", seed, cut), part, twice)
			same(t, fmt.Sprintf("seed %d: %d entries twice, and the rest", seed, cut), whole, fold(twice, s.entries))
			if cut == 0 {
				continue
			}
			b, err := json.Marshal(part.Snapshot())
			if err != nil {
				t.Fatal(err)
			}
			var snap alerts.Snapshot
			if err := json.Unmarshal(b, &snap); err != nil {
				t.Fatal(err)
			}
			last := s.entries[cut-1]
			from := fold(nil, []alerts.Entry{{At: last.At, StoredAt: last.StoredAt, Snapshot: &snap}})
			same(t, fmt.Sprintf("seed %d: the snapshot at %d", seed, cut), part, from)
			same(t, fmt.Sprintf("seed %d: the snapshot at %d and the rest", seed, cut), whole, fold(from, s.entries[cut:]))
		}
	}
}

func fold(s *alerts.State, entries []alerts.Entry) *alerts.State {
	if s == nil {
		s = alerts.NewState()
	}
	for _, e := range entries {
		s.Apply(e)
	}
	return s
}

// history is made of what evaluations, people, time and the network do, and of events
// that do not fit.
func history(t *testing.T, seed uint64) *story {
	r := rand.New(rand.NewPCG(seed, 7))
	s := tell(t)
	s.policy.GroupBy = [][]string{{"job"}, {"..."}, {"alertname", "job"}}[seed%3]
	s.policy.Repeat, s.policy.AckTimeout = 1, 20*time.Minute
	s.policy.Levels = append(s.policy.Levels, alerts.Level{After: 5 * time.Minute, Targets: []string{"y"}, While: alerts.Unresolved})
	var all []string
	for n := range 8 {
		all = append(all, fmt.Sprintf("%c job=%d severity=%s", 'A'+n%2, n%3, []string{"info", "warning", "critical"}[r.IntN(3)]))
	}
	var misfits []alerts.Event // events of before, told again when they do not fit
	for range 120 {
		s.now = s.now.Add(time.Duration(r.IntN(5)) * 30 * time.Second)
		if r.IntN(25) == 0 {
			s.now = s.now.Add(time.Duration(r.IntN(30)) * time.Hour)
		}
		var events []alerts.Event
		switch r.IntN(10) {
		case 0, 1, 2, 3:
			var active []string
			for _, a := range all {
				switch r.IntN(6) {
				case 0, 1:
					active = append(active, a)
				case 2:
					active = append(active, a+" pending")
				}
			}
			e := s.evaluation(active...)
			if r.IntN(5) == 0 {
				e.Evaluated, e.Failed = []string{"A"}, []string{"B"}
			}
			e.At = e.At.Add(-time.Duration(r.IntN(4)) * time.Minute * time.Duration(r.IntN(2)))
			events = s.s.Transitions(e, s.policyOf, s.now)
			if len(events) > 0 {
				s.append(events...)
			}
			if again := s.s.Transitions(e, s.policyOf, s.now); again != nil {
				t.Errorf("again: %q", s.words(again))
			}
			misfits = append(misfits, events...)
			continue
		case 4, 5:
			for _, i := range s.s.Incidents(alerts.Filter{}) {
				due, _ := escalation.Step(&i, s.now, escalation.Around{Open: func(string) bool { return true }, Muted: r.IntN(4) == 0})
				events = append(events, due...)
			}
		case 6:
			for _, i := range s.s.Incidents(alerts.Filter{States: []string{"open", "acked"}}) {
				var done []alerts.Event
				var err error
				switch r.IntN(4) {
				case 0:
					done, err = s.s.Ack(i.ID, "ann", "", time.Time{}, s.now)
				case 1:
					done, err = s.s.Unack(i.ID, "ann", "", s.now)
				case 2:
					done, err = s.s.Resolve(i.ID, "ann", "", s.now)
				}
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, done...)
			}
		case 7:
			w := alerts.Silence{Matchers: []string{"a=b"}, Ends: s.now.Add(time.Duration(1+r.IntN(300)) * time.Minute), By: "ann"}
			done, err := s.s.Silence(w, s.now)
			if list := s.s.Silences(); len(list) > 0 && r.IntN(2) == 0 {
				done, err = s.s.Unsilence(list[r.IntN(len(list))].ID, "ann", s.now)
			}
			if err != nil {
				t.Fatal(err)
			}
			events = done
		case 8:
			n := alerts.Notified{Group: fmt.Sprint(r.IntN(2)), Receiver: fmt.Sprint(r.IntN(2))}
			for _, a := range all {
				if x, ok := s.s.Alert(key(a)); ok && r.IntN(2) == 0 {
					if x.ResolvedAt.IsZero() || r.IntN(3) == 0 {
						n.Firing = append(n.Firing, x.Key)
					} else {
						n.Resolved = append(n.Resolved, x.Key)
					}
				}
			}
			k := []alerts.Kind{alerts.EventNotified, alerts.EventNotified, alerts.EventNotifyFailed, alerts.EventNotifyDropped}[r.IntN(4)]
			events = []alerts.Event{{Kind: k, Tenant: "blue", Notified: &n}}
		case 9:
			if len(misfits) > 0 {
				events = []alerts.Event{misfits[r.IntN(len(misfits))], {Kind: "of the future"}}
			}
		}
		if len(events) > 0 {
			s.append(events...)
		}
	}
	return s
}

// TestTheFoldAgreesWithItself: in any history an incident has the alerts that say they
// are of it, and each group one incident that goes on.
func TestTheFoldAgreesWithItself(t *testing.T) {
	for seed := range uint64(60) {
		s := history(t, seed+1000)
		going := map[string]bool{}
		for _, i := range s.s.Incidents(alerts.Filter{}) {
			for _, k := range i.Firing {
				a, ok := s.s.Alert(k)
				if !ok || !a.ResolvedAt.IsZero() || a.Incident != i.ID {
					t.Errorf("seed %d: incident %s %s has %+v", seed, i.ID, i.Status, a)
				}
			}
			if i.Status == alerts.Closed {
				continue
			}
			if going[i.Group] {
				t.Errorf("seed %d: two incidents of %s", seed, i.Group)
			}
			going[i.Group] = true
		}
		for _, a := range s.s.Alerts(alerts.Filter{States: []string{alerts.Firing}}) {
			if i, ok := s.s.Incident(a.Incident); !ok || i.Status == alerts.Closed {
				t.Errorf("seed %d: %+v fires in %+v", seed, a, i)
			}
		}
	}
}
