package alertstest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// RunLog holds a Log to its contract. open makes an empty log and gives handles to it,
// as many as it is asked for, each as another process would have one.
func RunLog(t *testing.T, open func(t *testing.T) func() alerts.Log) {
	for name, f := range map[string]func(*testing.T, func() alerts.Log){
		"in order, and what comes":          inOrder,
		"one of two gets a place":           onePlace,
		"what was given is as it was":       asItWas,
		"an entry has its bounds":           entryBounds,
		"many writers lose and double none": manyWriters,
		"Follow ends":                       followEnds,
		"Follow goes on behind a position":  goesOn,
		"Do over many entries":              doMany,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

// patience of a test with what has to come.
const patience = time.Minute

func event(k alerts.Kind, reason string) []alerts.Event {
	return []alerts.Event{{Kind: k, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Actor: "ann", Incident: "I", Reason: reason}}
}

// read gives the first n entries behind a position.
func read(t *testing.T, l alerts.Log, after uint64, n int) (list []alerts.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	enough := errors.New("enough")
	err := l.Follow(ctx, after, func(e alerts.Entry) error {
		if len(e.Events) > 0 {
			list = append(list, e)
		}
		if len(list) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%d of %d entries, then %v", len(list), n, err)
	}
	return list
}

func appendTo(t *testing.T, l alerts.Log, last uint64, events []alerts.Event) uint64 {
	t.Helper()
	at, err := l.Append(t.Context(), last, events)
	if err != nil {
		t.Fatal(err)
	}
	if at <= last {
		t.Fatalf("appended behind %d at %d", last, at)
	}
	return at
}

func inOrder(t *testing.T, open func() alerts.Log) {
	a, b := open(), open()
	ctx, cancel := context.WithCancel(t.Context())
	entries := make(chan alerts.Entry, 100)
	done := make(chan error, 1)
	go func() {
		done <- b.Follow(ctx, 0, func(e alerts.Entry) error { entries <- e; return nil })
	}()
	next := func() alerts.Entry {
		t.Helper()
		select {
		case e := <-entries:
			return e
		case err := <-done:
			t.Fatalf("Follow ended: %v", err)
		case <-time.After(patience):
			t.Fatal("nothing comes")
		}
		return alerts.Entry{}
	}
	if end, err := a.End(t.Context()); err != nil || end != 0 {
		t.Errorf("the end of an empty log is %d, %v", end, err)
	}
	if e := next(); e.At != 0 || !e.CaughtUp || e.Events != nil || e.Snapshot != nil || e.Anew {
		t.Errorf("of an empty log: %+v", e)
	}
	last, caught, stored := uint64(0), false, time.Time{}
	for n := range 5 {
		last = appendTo(t, a, last, event(alerts.EventAcked, fmt.Sprint(n)))
		if end, err := b.End(t.Context()); err != nil || end != last {
			t.Errorf("the end is %d, %v, want %d", end, err, last)
		}
		e := next()
		if e.At != last || len(e.Events) != 1 || e.Events[0].Reason != fmt.Sprint(n) || e.StoredAt.Before(stored) || e.StoredAt.IsZero() {
			t.Errorf("entry %d: %+v", n, e)
		}
		caught, stored = e.CaughtUp, e.StoredAt
	}
	if !caught {
		t.Error("the last entry is not the last")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func onePlace(t *testing.T, open func() alerts.Log) {
	a, b := open(), open()
	at := appendTo(t, a, 0, event(alerts.EventAcked, "first"))
	for _, last := range []uint64{0, at + 1, at + 1000} {
		if _, err := b.Append(t.Context(), last, event(alerts.EventAcked, "no")); !errors.Is(err, alerts.ErrConflict) {
			t.Errorf("behind %d: %v", last, err)
		}
	}
	appendTo(t, b, at, event(alerts.EventUnacked, "second"))
	if got := read(t, a, 0, 2); got[0].Events[0].Reason != "first" || got[1].Events[0].Reason != "second" {
		t.Errorf("%+v", got)
	}
}

func asItWas(t *testing.T, open func() alerts.Log) {
	l := open()
	events := []alerts.Event{Every(time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC))[0], {Kind: "of the future", Incident: "I"}}
	appendTo(t, l, 0, events)
	for range 2 { // an entry is the reader's, to change
		got := read(t, l, 0, 1)[0].Events
		if !reflect.DeepEqual(got, events) {
			t.Fatalf("%+v\nwant %+v", got, events)
		}
		got[0].Fired.Labels[0].Value, got[0].Reason, got[1].Kind = "changed", "changed", "changed"
	}
}

func entryBounds(t *testing.T, open func() alerts.Log) {
	l := open()
	if _, err := l.Append(t.Context(), 0, nil); err == nil || errors.Is(err, alerts.ErrConflict) {
		t.Errorf("nothing: %v", err)
	}
	many := make([]alerts.Event, alerts.MaxEvents)
	for n := range many {
		many[n] = event(alerts.EventAcked, strings.Repeat("x", 1024))[0]
	}
	if _, err := l.Append(t.Context(), 0, append(many, many[0])); !errors.Is(err, alerts.ErrTooLarge) {
		t.Errorf("one more: %v", err)
	}
	if _, err := l.Append(t.Context(), 0, event(alerts.EventAcked, strings.Repeat("x", alerts.MaxEntryBytes))); !errors.Is(err, alerts.ErrTooLarge) {
		t.Errorf("a large one: %v", err)
	}
	appendTo(t, l, 0, many)
	if got := read(t, l, 0, 1); len(got[0].Events) != alerts.MaxEvents {
		t.Errorf("%d events", len(got[0].Events))
	}
}

// manyWriters count: each event has the number that its writer saw. None is there
// twice or left out, whoever was quicker.
func manyWriters(t *testing.T, open func() alerts.Log) {
	const writers, each = 3, 30
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg, following sync.WaitGroup
	end, stop := context.WithCancel(ctx)
	for w := range writers {
		l, s, c := open(), alerts.NewState(), &counter{}
		following.Go(func() {
			if err := l.Follow(end, 0, func(e alerts.Entry) error { c.apply(e); s.Apply(e); return nil }); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for n := range each {
				_, err := alerts.Do(ctx, l, s, func() ([]alerts.Event, error) {
					return event(alerts.EventAcked, fmt.Sprintf("%d %d %d", c.count(), w, n)), nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	stop()
	following.Wait()
	seen := map[string]bool{}
	for n, e := range read(t, open(), 0, writers*each) {
		count, rest, _ := strings.Cut(e.Events[0].Reason, " ")
		if count != fmt.Sprint(n) || seen[rest] {
			t.Errorf("entry %d is %q: its writer had not seen all before it, or it is there twice", n, e.Events[0].Reason)
		}
		seen[rest] = true
	}
}

// counter counts what a State was given. It is ahead of the State, so that who decides
// by it at the place of the State conflicts.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) apply(e alerts.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += len(e.Events)
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func followEnds(t *testing.T, open func() alerts.Log) {
	l := open()
	appendTo(t, l, 0, event(alerts.EventAcked, ""))
	ctx, cancel := context.WithCancel(t.Context())
	if err := l.Follow(ctx, 0, func(alerts.Entry) error { cancel(); return nil }); err != nil {
		t.Error(err)
	}
	if err := l.Follow(ctx, 0, func(alerts.Entry) error { t.Error("given after the end"); return nil }); err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	if err := l.Follow(t.Context(), 0, func(alerts.Entry) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := l.Append(ctx, 1, event(alerts.EventAcked, "")); !errors.Is(err, alerts.ErrUnavailable) {
		t.Errorf("with an ended context: %v", err)
	}
}

func goesOn(t *testing.T, open func() alerts.Log) {
	l := open()
	var at []uint64
	last := uint64(0)
	for n := range 4 {
		last = appendTo(t, l, last, event(alerts.EventAcked, fmt.Sprint(n)))
		at = append(at, last)
	}
	if got := read(t, l, at[1], 2); got[0].At != at[2] || got[1].At != at[3] {
		t.Errorf("%+v", got)
	}
	stop := errors.New("stop")
	err := l.Follow(t.Context(), last, func(e alerts.Entry) error {
		if e.At != last || !e.CaughtUp || e.Events != nil {
			t.Errorf("behind the last: %+v", e)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}

// doMany: more than an entry has, with another in between.
func doMany(t *testing.T, open func() alerts.Log) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, s := open(), alerts.NewState()
	end, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Follow(end, 0, func(e alerts.Entry) error { s.Apply(e); return nil }); err != nil {
			t.Error(err)
		}
	})
	now := time.Now()
	slot := now.Truncate(time.Second)
	e := alerts.Evaluation{File: "f", Group: "g", At: slot, Evaluated: []string{"Many"}}
	for n := range 600 {
		e.Active = append(e.Active, alerts.Finding{Rule: "Many", Labels: alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "Many"}, alerts.Label{Name: "n", Value: fmt.Sprint(n)}), Firing: true})
	}
	policy := func(string, alerts.Labels) alerts.Policy {
		return alerts.Policy{Name: "p", GroupBy: []string{"..."}}
	}
	other := 0
	at, err := alerts.Do(ctx, l, s, func() ([]alerts.Event, error) {
		events := s.Transitions(e, policy, now)
		if other++; other == 1 { // behind what was decided with
			if _, err := l.Append(ctx, s.At(), event(alerts.EventAcked, "of nothing")); err != nil {
				t.Error(err)
			}
		}
		return events, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reached(ctx, at); err != nil {
		t.Fatal(err)
	}
	stop()
	wg.Wait()
	if n := len(s.Alerts(alerts.Filter{})); n != 600 || s.Counts() != (alerts.Counts{Misfits: 1}) || other < 2 {
		t.Errorf("%d alerts, %+v, asked %d times", n, s.Counts(), other)
	}
	if again := s.Transitions(e, policy, now); again != nil {
		t.Errorf("again: %+v", again)
	}
}
