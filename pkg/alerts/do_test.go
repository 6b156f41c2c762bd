package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
)

func TestLogInMemory(t *testing.T) {
	alertstest.RunLog(t, func(*testing.T) func() alerts.Log {
		l := alertstest.NewLog()
		return func() alerts.Log { return l }
	})
}

// rig is a log with a state that follows it.
func rig(t *testing.T) (*alertstest.Log, *alerts.State) {
	t.Helper()
	l, s := alertstest.NewLog(), alerts.NewState()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Follow(ctx, 0, func(e alerts.Entry) error { s.Apply(e); return nil }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l, s
}

// TestDoTearsNothingApart: an alert and the incident that it opens or closes are of one
// entry, wherever an entry has to end.
func TestDoTearsNothingApart(t *testing.T) {
	l, s := rig(t)
	policy := func(_ string, labels alerts.Labels) alerts.Policy {
		p := alerts.Policy{Name: "p", GroupBy: []string{"..."}}
		if labels.Get("n") > "5" {
			p.Name, p.GroupBy = "q", []string{"alertname"}
		}
		return p
	}
	e := alerts.Evaluation{File: "f", Group: "g", At: noon, Evaluated: []string{"A"}}
	for n := range 700 {
		_, labels := find(fmt.Sprintf("A n=%d", n))
		e.Active = append(e.Active, alerts.Finding{Rule: "A", Labels: labels, Annotations: alerts.LabelsOf(alerts.Label{Name: "text", Value: strings.Repeat("x", (n%7)*300)}), Firing: true})
	}
	for range 2 {
		at, err := alerts.Do(t.Context(), l, s, func() ([]alerts.Event, error) { return s.Transitions(e, policy, e.At), nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Reached(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		e.At, e.Active = e.At.Add(time.Minute), nil
	}
	entries, done := 0, errors.New("done")
	err := l.Follow(t.Context(), 0, func(x alerts.Entry) error {
		entries++
		first, last := x.Events[0], x.Events[len(x.Events)-1]
		if first.Kind == alerts.EventClosed || last.Kind == alerts.EventOpened || len(x.Events) > alerts.MaxEvents {
			t.Errorf("an entry of %d events from %s to %s", len(x.Events), first.Kind, last.Kind)
		}
		if x.CaughtUp {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) || entries < 8 {
		t.Errorf("%d entries, %v", entries, err)
	}
	if c := s.Counts(); c != (alerts.Counts{}) || len(s.Alerts(alerts.Filter{States: []string{alerts.Firing}})) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestDoWhatCannotBeStored(t *testing.T) {
	l, s := rig(t)
	do := func(events []alerts.Event, err error) error {
		_, err = alerts.Do(t.Context(), l, s, func() ([]alerts.Event, error) { return events, err })
		return err
	}
	if at, err := alerts.Do(t.Context(), l, s, func() ([]alerts.Event, error) { return nil, nil }); at != 0 || err != nil {
		t.Errorf("nothing to do: %d, %v", at, err)
	}
	mine := errors.New("mine")
	if err := do([]alerts.Event{{Kind: "x"}}, mine); !errors.Is(err, mine) {
		t.Error(err)
	}
	if err := do([]alerts.Event{{Kind: "x", Alert: "a", Reason: strings.Repeat("x", alerts.MaxEntryBytes)}}, nil); !errors.Is(err, alerts.ErrTooLarge) || !strings.Contains(err.Error(), "alert a") {
		t.Error(err)
	}
	if err := do([]alerts.Event{{Kind: "x", At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), Incident: "I"}}, nil); err == nil || !strings.Contains(err.Error(), "incident I") {
		t.Error(err)
	}
	l.Fail(alerts.ErrFull)
	if err := do([]alerts.Event{{Kind: "x"}}, nil); !errors.Is(err, alerts.ErrFull) {
		t.Error(err)
	}
	if n := len(l.Events()); n != 0 {
		t.Errorf("%d events are stored", n)
	}
}

// TestDoAfterALostAnswer: what was stored though nobody said so is not stored again.
func TestDoAfterALostAnswer(t *testing.T) {
	l, s := rig(t)
	e := alerts.Evaluation{At: noon, Active: []alerts.Finding{{Rule: "A", Firing: true, Labels: alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "A"})}}}
	decide := func() ([]alerts.Event, error) {
		return s.Transitions(e, func(string, alerts.Labels) alerts.Policy { return alerts.Policy{} }, noon), nil
	}
	l.Fail(alerts.ErrUnavailable)
	if _, err := alerts.Do(t.Context(), l, s, decide); !errors.Is(err, alerts.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := alerts.Do(t.Context(), l, s, decide); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Events()); n != 2 {
		t.Errorf("%d events, want opened and fired", n)
	}
}

// TestDoEndsWithItsContext where nobody follows, and goes on when the log begins anew.
func TestDoEndsWithItsContext(t *testing.T) {
	l, s := alertstest.NewLog(), alerts.NewState()
	if _, err := l.Append(t.Context(), 0, []alerts.Event{{Kind: "x"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	_, err := alerts.Do(ctx, l, s, func() ([]alerts.Event, error) {
		asked++
		cancel()
		return []alerts.Event{{Kind: "y"}}, nil
	})
	if err == nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	if err := s.Reached(ctx, 0); err != nil {
		t.Error(err)
	}
	done := make(chan error)
	go func() { done <- s.Reached(ctx, 5) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
			s.Apply(alerts.Entry{Anew: true})
		}
	}
}
