package alerts_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

func TestAckUnackResolve(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x", "A job=x n=2"}, "opened I1", "fired I1 A", "fired I1 A")
	id := s.incident("I1").ID
	until := s.now.Add(time.Hour)
	s.does(s.s.Unack(id, "ann", "", s.now))()
	s.does(s.s.Ack(id, "ann", "mine", until, s.now))("acked I1 (mine)")
	if i := s.incident("I1"); i.Status != alerts.Taken || i.AckedBy != "ann" || !i.AckUntil.Equal(until) || i.AckedAt != s.now {
		t.Errorf("%+v", i)
	}
	s.does(s.s.Ack(id, "ann", "", until, s.now))() // its answer was lost
	s.does(s.s.Ack(id, "bob", "", time.Time{}, s.now))("acked I1")
	s.does(s.s.Unack(id, "ann", "", s.now))("unacked I1")
	s.after(time.Minute)
	events, err := s.s.Resolve(id, "ann", "gone", s.now)
	s.does(events, err)("resolved I1 A (gone)", "resolved I1 A (gone)", "closed I1 (gone)")
	for _, f := range []func() ([]alerts.Event, error){
		func() ([]alerts.Event, error) { return s.s.Ack(id, "ann", "", time.Time{}, s.now) },
		func() ([]alerts.Event, error) { return s.s.Unack(id, "ann", "", s.now) },
		func() ([]alerts.Event, error) { return s.s.Resolve(id, "ann", "", s.now) },
	} {
		if events, err := f(); events != nil || !errors.Is(err, alerts.ErrClosed) {
			t.Errorf("%+v, %v", events, err)
		}
	}
	// Whoever says that it is over does not say so for what is found afterwards.
	s.after(time.Second)
	s.found([]string{"A job=x"}, "reopened I1", "fired I1 A")
}

// TestAPersonsClockIsNotCounted: who resolves with a clock that is ahead holds no later
// evaluation back.
func TestAPersonsClockIsNotCounted(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	events, err := s.s.Resolve(s.incident("I1").ID, "ann", "", s.now.Add(24*time.Hour))
	s.does(events, err)("resolved I1 A", "closed I1")
	if a, _ := s.s.Alert(key("A job=x")); a.ResolvedAt != s.now || a.Watermark != s.now {
		t.Errorf("%+v", a)
	}
	s.after(time.Second)
	s.found([]string{"B job=x"}, "reopened I1", "fired I1 B")
}

func TestWhatCannotBeDone(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	id := s.incident("I1").ID
	w := alerts.Silence{Matchers: []string{"a=b"}, Starts: s.now, Ends: s.now.Add(time.Hour), By: "ann"}
	silence := func(change func(*alerts.Silence)) error {
		w := w
		change(&w)
		_, err := s.s.Silence(w, s.now)
		return err
	}
	ack := func(id, actor, comment string, until time.Time) error {
		_, err := s.s.Ack(id, actor, comment, until, s.now)
		return err
	}
	_, unsilence := s.s.Unsilence("none", "ann", s.now)
	_, nobody := s.s.Unsilence("none", "", s.now)
	for _, c := range []struct {
		err, want error
		text      string
	}{
		{ack("none", "ann", "", time.Time{}), alerts.ErrUnknown, `incident "none"`},
		{ack(strings.Repeat("x", 5000), "ann", "", time.Time{}), alerts.ErrUnknown, "…"},
		{ack(id, "", "", time.Time{}), alerts.ErrInvalid, "nobody"},
		{ack(id, "ann", strings.Repeat("x", alerts.MaxReason+1), time.Time{}), alerts.ErrInvalid, "1025 bytes"},
		{ack(id, "ann", "", s.now), alerts.ErrInvalid, "before it begins"},
		{unsilence, alerts.ErrUnknown, `silence "none"`},
		{nobody, alerts.ErrInvalid, "nobody"},
		{silence(func(w *alerts.Silence) { w.By = "" }), alerts.ErrInvalid, "nobody"},
		{silence(func(w *alerts.Silence) { w.Matchers = nil }), alerts.ErrInvalid, "silence all"},
		{silence(func(w *alerts.Silence) { w.Matchers = []string{""} }), alerts.ErrInvalid, "silence all"},
		{silence(func(w *alerts.Silence) { w.Matchers = []string{strings.Repeat("x", 5000)} }), alerts.ErrInvalid, "5000 bytes"},
		{silence(func(w *alerts.Silence) { w.Ends = w.Starts }), alerts.ErrInvalid, "over"},
		{silence(func(w *alerts.Silence) { w.Starts, w.Ends = s.now.Add(-time.Hour), s.now }), alerts.ErrInvalid, "over"},
		{silence(func(w *alerts.Silence) { w.ID = "none" }), alerts.ErrUnknown, `silence "none"`},
	} {
		if !errors.Is(c.err, c.want) || !strings.Contains(c.err.Error(), c.text) || len(c.err.Error()) > 300 {
			t.Errorf("%v, want %v with %q", c.err, c.want, c.text)
		}
	}
}

func TestSilences(t *testing.T) {
	s := tell(t)
	w := alerts.Silence{Tenant: "blue", Matchers: []string{"a=b"}, Ends: s.now.Add(time.Hour), By: "ann"}
	s.does(s.s.Silence(w, s.now))("silenced")
	list := s.s.Silences()
	if len(list) != 1 || list[0].ID == "" || list[0].Starts != s.now {
		t.Fatalf("%+v", list)
	}
	w = list[0]
	s.does(s.s.Silence(w, s.now))() // as it is
	w.Ends = s.now.Add(2 * time.Hour)
	s.does(s.s.Silence(w, s.now))("silenced")
	other := w
	other.Tenant = "red"
	if _, err := s.s.Silence(other, s.now); !errors.Is(err, alerts.ErrUnknown) {
		t.Errorf("of another tenant: %v", err)
	}
	s.after(time.Minute)
	s.does(s.s.Unsilence(w.ID, "bob", s.now))("unsilenced")
	s.does(s.s.Unsilence(w.ID, "bob", s.now))()
	if got := s.s.Silences()[0]; got.Ends != s.now || got.By != "ann" {
		t.Errorf("%+v", got)
	}
	// One that has not begun never does.
	s.does(s.s.Silence(alerts.Silence{ID: "", Matchers: []string{"a=b"}, Starts: s.now.Add(time.Hour), Ends: s.now.Add(2 * time.Hour), By: "ann"}, s.now))("silenced")
	id := s.s.Silences()[1].ID
	s.does(s.s.Unsilence(id, "bob", s.now))("unsilenced")
	if got := s.s.Silences()[1]; got.Starts != s.now || got.Ends != s.now {
		t.Errorf("%+v", got)
	}
	s.after(alerts.ClosedFor)
	s.append(alerts.Event{Kind: "tick"})
	if got := s.s.Silences(); len(got) != 0 {
		t.Errorf("ended long ago: %+v", got)
	}
}

// TestSilencesAreBounded: and those that have ended make room.
func TestSilencesAreBounded(t *testing.T) {
	s := tell(t)
	for n := range alerts.MaxSilences {
		events, err := s.s.Silence(alerts.Silence{Matchers: []string{fmt.Sprintf("a=%d", n)}, Ends: s.now.Add(time.Hour + time.Duration(n)), By: "ann"}, s.now)
		if err != nil {
			t.Fatal(err)
		}
		s.append(events...)
	}
	w := alerts.Silence{Matchers: []string{"a=b"}, Ends: s.now.Add(3 * time.Hour), By: "ann"}
	if _, err := s.s.Silence(w, s.now); !errors.Is(err, alerts.ErrInvalid) || !strings.Contains(err.Error(), "2000") {
		t.Fatal(err)
	}
	first := s.s.Silences()[0]
	s.after(time.Second)
	s.does(s.s.Unsilence(first.ID, "ann", s.now))("unsilenced")
	s.does(s.s.Silence(w, s.now))("silenced")
	if n := len(s.s.Silences()); n != alerts.MaxSilences {
		t.Errorf("%d", n)
	}
	for _, x := range s.s.Silences() {
		if x.ID == first.ID {
			t.Error("the one that has ended is kept, so another is not")
		}
	}
}
