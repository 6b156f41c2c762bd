package alerts_test

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

var chat = alerts.ClaimKey{Tenant: "blue", Group: "n", Receiver: "chat"}

// TestOwed: who was told that something fires is owed the end, until told, refused or
// a day has passed.
func TestOwed(t *testing.T) {
	begin := func() *story {
		s := tell(t)
		s.found([]string{"A job=x", "B job=x"}, "opened I1", "fired I1 A", "fired I1 B")
		s.notified(alerts.EventNotified, "chat", "B job=x,A job=x", "")
		return s
	}
	owed := func(s *story, want ...alerts.ClaimKey) {
		t.Helper()
		if got := s.s.Owed(); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	s := begin()
	sent, ok := s.s.Sent(chat)
	if !ok || len(sent.Firing) != 2 || !slices.IsSorted(sent.Firing) || sent.At != noon {
		t.Errorf("%+v", sent)
	}
	owed(s)
	s.after(time.Minute)
	s.found([]string{"B job=x"}, "resolved I1 A")
	owed(s, chat)
	s.notified(alerts.EventNotifyFailed, "chat", "B job=x", "A job=x")
	owed(s, chat)
	s.notified(alerts.EventNotified, "chat", "B job=x", "A job=x")
	owed(s)
	if sent, _ := s.s.Sent(chat); len(sent.Resolved) != 1 || sent.At != s.now {
		t.Errorf("%+v", sent)
	}
	s.after(time.Minute)
	s.found(nil, "resolved I1 B", "closed I1")
	owed(s, chat)
	s.notified(alerts.EventNotified, "chat", "", "B job=x")
	owed(s)
	if sent, ok := s.s.Sent(chat); ok {
		t.Errorf("%+v", sent)
	}

	s = begin()
	s.after(time.Minute)
	s.found(nil, "resolved I1 A", "resolved I1 B", "closed I1")
	s.notified(alerts.EventNotifyDropped, "chat", "A job=x", "") // of before
	owed(s, chat)
	s.notified(alerts.EventNotifyDropped, "chat", "", "A job=x,B job=x")
	owed(s)

	// However long it fires it is not forgotten, and then for a day.
	s = begin()
	s.after(30 * 24 * time.Hour)
	s.found([]string{"B job=x"}, "resolved I1 A")
	s.after(time.Minute)
	s.found(nil, "resolved I1 B", "closed I1")
	s.after(alerts.OwedFor - time.Second)
	s.append(alerts.Event{Kind: "tick"})
	owed(s, chat)
	if a, ok := s.s.Alert(key("B job=x")); !ok || a.Labels.Get("job") != "x" {
		t.Errorf("of what is owed nobody knows any more: %+v", a)
	}
	s.after(time.Second)
	s.append(alerts.Event{Kind: "tick"})
	owed(s)
	if _, ok := s.s.Alert(key("B job=x")); ok {
		t.Error("it is known for ever")
	}
}

// TestWhatHasEndedIsForgotten: in time, and in number.
func TestWhatHasEndedIsForgotten(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	s.after(time.Minute)
	s.found(nil, "resolved I1 A", "closed I1")
	known := func(alert, incident bool) {
		t.Helper()
		s.append(alerts.Event{Kind: "tick"})
		_, ok := s.s.Alert(key("A job=x"))
		if n := len(s.s.Incidents(alerts.Filter{})); ok != alert || (n == 1) != incident {
			t.Errorf("alert %v, incidents %d", ok, n)
		}
	}
	s.after(alerts.ResolvedFor - time.Second)
	known(true, true)
	s.after(time.Second)
	known(false, true) // may yet be reopened for 5 m longer, so is kept for longer
	s.after(s.policy.Reopen)
	known(false, false)

	s = tell(t)
	s.policy.GroupBy = []string{"..."}
	all := alerts.MaxEnded + 500
	for at := 0; at < all; at += 250 {
		e := s.evaluation()
		for n := range 250 {
			_, l := find(fmt.Sprintf("A n=%06d", at+n))
			e.Active = append(e.Active, alerts.Finding{Rule: "A", Labels: l, Firing: true})
		}
		for _, found := range []alerts.Evaluation{e, {Tenant: "blue", File: "f", Group: "g", At: s.now.Add(time.Millisecond), Evaluated: s.rules}} {
			for events := range slices.Chunk(s.s.Transitions(found, s.policyOf, s.now), 250) {
				s.append(events...)
			}
		}
		s.after(time.Second)
	}
	snap := s.s.Snapshot()
	if len(snap.Alerts) != alerts.MaxEnded || len(snap.Incidents) != alerts.MaxEnded || s.s.Counts().Misfits != 0 {
		t.Errorf("%d alerts, %d incidents, %+v", len(snap.Alerts), len(snap.Incidents), s.s.Counts())
	}
	_, old := s.s.Alert(key("A n=000000"))
	if _, young := s.s.Alert(key(fmt.Sprintf("A n=%06d", all-1))); old || !young {
		t.Errorf("the oldest is there: %v, the youngest: %v", old, young)
	}
}

func TestFilter(t *testing.T) {
	s := tell(t)
	s.policy.GroupBy = []string{"alertname", "job"}
	s.found([]string{"A job=x severity=critical", "B job=y severity=info"}, "opened I1", "fired I1 A", "opened I2", "fired I2 B")
	s.after(time.Minute)
	s.found([]string{"B job=y severity=info", "A job=z"}, "opened I3", "fired I3 A", "resolved I1 A", "closed I1")
	red := s.evaluation("A job=x")
	red.Tenant = "red"
	s.tells(red, "opened I4", "fired I4 A")
	f := func(f alerts.Filter, wantAlerts, wantIncidents int) {
		t.Helper()
		if a, i := s.s.Alerts(f), s.s.Incidents(f); len(a) != wantAlerts || len(i) != wantIncidents {
			t.Errorf("%+v: %d alerts and %d incidents, want %d and %d", f, len(a), len(i), wantAlerts, wantIncidents)
		}
	}
	f(alerts.Filter{}, 4, 4)
	f(alerts.Filter{Limit: -1}, 4, 4)
	f(alerts.Filter{Limit: 3}, 3, 3)
	f(alerts.Filter{Tenants: []string{"blue"}}, 3, 3)
	f(alerts.Filter{Tenants: []string{"red", "green"}}, 1, 1)
	f(alerts.Filter{States: []string{alerts.Firing}}, 3, 0)
	f(alerts.Filter{States: []string{alerts.Resolved, string(alerts.Closed)}}, 1, 1)
	f(alerts.Filter{States: []string{string(alerts.Open)}}, 0, 3)
	f(alerts.Filter{Severities: []alerts.Severity{"critical", "info"}}, 2, 2)
	f(alerts.Filter{Rule: "B"}, 1, 1)
	f(alerts.Filter{Rule: "A", Match: func(l alerts.Labels) bool { return l.Get("job") == "x" }}, 2, 2)
	// Page by page all are there, newest first, whatever is gone meanwhile.
	var jobs []string
	for c := (alerts.Cursor{}); ; {
		page := s.s.Alerts(alerts.Filter{Limit: 1, Behind: c})
		if len(page) == 0 {
			break
		}
		jobs = append(jobs, page[0].Labels.Get("job"))
		c = page[0].Cursor()
	}
	if len(jobs) != 4 || !slices.Contains(jobs[:2], "z") || !slices.Contains(jobs[2:], "y") {
		t.Errorf("%v", jobs)
	}
	n := 0
	for c := (alerts.Cursor{}); ; n++ {
		page := s.s.Incidents(alerts.Filter{Limit: 1, Behind: c})
		if len(page) == 0 {
			break
		}
		c = page[0].Cursor()
	}
	if n != 4 {
		t.Errorf("%d incidents", n)
	}
}

func TestAListIsBounded(t *testing.T) {
	s := tell(t)
	s.policy.GroupBy = []string{"..."}
	for n := range 12 {
		e := s.evaluation()
		e.Group = fmt.Sprint(n)
		for m := range 100 {
			_, l := find(fmt.Sprintf("A n=%d.%d", n, m))
			e.Active = append(e.Active, alerts.Finding{Rule: "A", Labels: l, Firing: true})
		}
		s.append(s.s.Transitions(e, s.policyOf, s.now)...)
	}
	for _, limit := range []int{0, 5000} {
		if a, i := len(s.s.Alerts(alerts.Filter{Limit: limit})), len(s.s.Incidents(alerts.Filter{Limit: limit})); a != alerts.MaxList || i != alerts.MaxList {
			t.Errorf("%d, %d", a, i)
		}
	}
}

// TestWhatIsAnsweredIsTheCallers: to change it changes nothing.
func TestWhatIsAnsweredIsTheCallers(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	s.notified(alerts.EventNotified, "chat", "A job=x", "")
	s.does(s.s.Silence(alerts.Silence{Matchers: []string{"a=b"}, Ends: s.now.Add(time.Hour), By: "ann"}, s.now))("silenced")
	before := s.s.Snapshot()
	i := s.incident("I1")
	i.Firing[0], i.Policy.GroupBy[0], i.Policy.Levels[0].Targets[0] = "", "", ""
	sent, _ := s.s.Sent(chat)
	sent.Firing[0] = ""
	s.s.Silences()[0].Matchers[0] = ""
	s.s.Incidents(alerts.Filter{})[0].Firing[0] = ""
	s.s.Alerts(alerts.Filter{})[0].Incident = ""
	snap := s.s.Snapshot()
	snap.Incidents[0].Firing[0], snap.Sent[0].Sent.Firing[0], snap.Silences[0].Matchers[0] = "", "", ""
	if after := s.s.Snapshot(); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v\n%+v", before, after)
	}
}

func TestAnewAndCaughtUp(t *testing.T) {
	s := tell(t)
	if s.s.CaughtUp() {
		t.Error("caught up with nothing read")
	}
	s.s.Apply(alerts.Entry{CaughtUp: true})
	if !s.s.CaughtUp() || s.s.At() != 0 {
		t.Error("an empty log is caught up with")
	}
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	s.after(time.Minute)
	s.found([]string{"A job=x", "B job=x"}, "fired I1 B")
	changed := s.s.Changed()
	snap := s.s.Snapshot()
	s.s.Apply(alerts.Entry{Anew: true})
	select {
	case <-changed:
	default:
		t.Error("nobody is told")
	}
	if a := s.s.Alerts(alerts.Filter{}); len(a) != 0 || s.s.At() != 0 {
		t.Errorf("%+v at %d", a, s.s.At())
	}
	s.s.Apply(alerts.Entry{At: 1, StoredAt: s.now, Snapshot: &snap})
	if !reflect.DeepEqual(s.s.Snapshot(), snap) || s.s.At() != 1 {
		t.Errorf("%+v", s.s.Snapshot())
	}
	s.s.Apply(alerts.Entry{At: 1, Events: []alerts.Event{{Kind: alerts.EventSilenced}}}) // has it
	if s.s.Counts() != (alerts.Counts{}) {
		t.Errorf("%+v", s.s.Counts())
	}
}

// TestStateIsSafe for concurrent use: the race detector looks on.
func TestStateIsSafe(t *testing.T) {
	s := tell(t)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-s.s.Changed():
				}
				for _, i := range s.s.Incidents(alerts.Filter{}) {
					i.Firing = append(i.Firing[:0], "x")
					_, _ = s.s.Ack(i.ID, "ann", "", time.Time{}, noon) // it may be closed by now
				}
				s.s.Snapshot()
				s.s.Owed()
				s.s.Sent(chat)
			}
		})
	}
	for n := range 200 {
		var active []string
		if n%3 > 0 {
			active = []string{"A job=x", fmt.Sprintf("B job=%d", n%7)}
		}
		s.append(append(s.s.Transitions(s.evaluation(active...), s.policyOf, s.now), alerts.Event{Kind: "tick"})...)
		s.after(time.Second)
	}
	close(done)
	s.append(alerts.Event{Kind: "tick"})
	wg.Wait()
}

// TestToldTheEnd: that the end was told is known for a while, and of nobody is more
// owed by it.
func TestToldTheEnd(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	told := func(token uint64, firing, resolved []alerts.Key) {
		s.append(alerts.Event{Kind: alerts.EventNotified, Tenant: "blue", Notified: &alerts.Notified{Group: "n", Receiver: "chat", Token: token, Firing: firing, Resolved: resolved}})
	}
	a := []alerts.Key{key("A job=x")}
	told(7, a, nil)
	s.after(time.Minute)
	s.found(nil, "resolved I1 A", "closed I1")
	told(8, nil, a)
	if sent, ok := s.s.Sent(chat); !ok || sent.Token != 8 || len(sent.Firing) != 0 || !slices.Equal(sent.Resolved, a) {
		t.Errorf("the end was told: %t, %+v", ok, sent)
	}
	if owed := s.s.Owed(); len(owed) > 0 {
		t.Errorf("owed: %v", owed)
	}
	s.after(alerts.ToldFor + time.Second)
	s.append(alerts.Event{Kind: "tick"})
	if sent, ok := s.s.Sent(chat); ok {
		t.Errorf("long after it: %+v", sent)
	}
}
