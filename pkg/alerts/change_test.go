package alerts_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// What does not fit changes nothing: Apply is total.
func TestApplyWhatDoesNotFit(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	level := func(cycle, n int) func(*alerts.Event) {
		return func(e *alerts.Event) { e.Escalated = &alerts.Escalated{Cycle: cycle, Level: n} }
	}
	f := func(what string, i alerts.Incident, k alerts.Kind, change func(*alerts.Event)) {
		t.Helper()
		i.Policy = alerts.Policy{Levels: []alerts.Level{{While: alerts.Unacked}, {After: time.Minute, While: alerts.Unresolved}}}
		i.Severity, i.Cycle, i.CycleAt, i.Firing, i.Generation = "warning", 2, at, []alerts.Key{"a"}, 7
		e := alerts.Event{Kind: k, Alert: "b", Severity: "critical", Actor: "ann"}
		if change != nil {
			change(&e)
		}
		before := i
		if i.Apply(&e, at.Add(time.Hour)) || !reflect.DeepEqual(i, before) {
			t.Errorf("%s: it fits, or changes something: %+v", what, i)
		}
	}
	closed, taken, open := alerts.Incident{Status: alerts.Closed}, alerts.Incident{Status: alerts.Taken}, alerts.Incident{Status: alerts.Open}
	for _, k := range []alerts.Kind{alerts.EventFired, alerts.EventAcked, alerts.EventUnacked, alerts.EventAckExpired, alerts.EventRaised, alerts.EventRepeated,
		alerts.EventExhausted, alerts.EventHeld, alerts.EventContinued, alerts.EventJoined, alerts.EventClosed, alerts.EventOpened, alerts.EventNotified, "of the future"} {
		f(string(k)+" of what is closed", closed, k, nil)
	}
	f("a level of what is closed", closed, alerts.EventEscalated, level(2, 1))
	f("a level without its number", open, alerts.EventEscalated, nil)
	f("a level that is not there", open, alerts.EventEscalated, level(2, 3))
	f("a level below the first", open, alerts.EventEscalated, level(2, 0))
	f("a level of the cycle before", open, alerts.EventEscalated, level(1, 1))
	f("a level that was told", alerts.Incident{Status: alerts.Open, Level: 1}, alerts.EventEscalated, level(2, 1))
	f("a level of what is exhausted", alerts.Incident{Status: alerts.Open, Exhausted: true}, alerts.EventEscalated, level(2, 1))
	f("a level for the unacked", taken, alerts.EventEscalated, level(2, 1))
	f("an unack of what is open", open, alerts.EventUnacked, nil)
	f("a milder severity", open, alerts.EventRaised, func(e *alerts.Event) { e.Severity = "info" })
	f("repeated while acked", taken, alerts.EventRepeated, nil)
	f("exhausted while acked", taken, alerts.EventExhausted, nil)
	f("exhausted twice", alerts.Incident{Status: alerts.Open, Exhausted: true}, alerts.EventExhausted, nil)
	f("held twice", alerts.Incident{Status: alerts.Open, Held: true}, alerts.EventHeld, nil)
	f("continued, not held", open, alerts.EventContinued, nil)
	f("joined, and nothing has", taken, alerts.EventJoined, nil)
	f("reopened while open", open, alerts.EventReopened, nil)
	f("fired twice", open, alerts.EventFired, func(e *alerts.Event) { e.Alert = "a" })
	f("fired without a key", open, alerts.EventFired, func(e *alerts.Event) { e.Alert = "" })
	f("the end of what does not fire", open, alerts.EventResolved, nil)
}

// What an incident remembers is bounded, however long it goes on.
func TestResolvedIsBounded(t *testing.T) {
	i := alerts.Incident{Status: alerts.Open}
	for n := range 3 * alerts.MaxResolved {
		k := alerts.Key(fmt.Sprint(n))
		if !i.Apply(&alerts.Event{Kind: alerts.EventFired, Alert: k}, time.Now()) || !i.Apply(&alerts.Event{Kind: alerts.EventResolved, Alert: k}, time.Now()) {
			t.Fatal(k)
		}
	}
	if n := len(i.Resolved); n != alerts.MaxResolved || len(i.Firing) != 0 || i.Resolved[n-1] != "2999" || i.Resolved[0] != "2000" {
		t.Errorf("%d, from %s to %s", n, i.Resolved[0], i.Resolved[n-1])
	}
}
