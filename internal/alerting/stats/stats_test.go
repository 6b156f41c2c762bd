package stats

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

var begin = time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)

// at is so many minutes into the window.
func at(minutes float64) time.Time {
	return begin.Add(time.Duration(minutes * float64(time.Minute)))
}

func fired(key, rule, severity, tenant string) *alerts.Event {
	labels := alerts.LabelsOf(alerts.Label{Name: "severity", Value: severity})
	return &alerts.Event{Kind: alerts.EventFired, Alert: alerts.Key(key), Tenant: tenant, Fired: &alerts.Alert{Key: alerts.Key(key), Rule: rule, Tenant: tenant, Labels: labels}}
}

func of(kind alerts.Kind, incident string) *alerts.Event {
	return &alerts.Event{Kind: kind, Incident: incident}
}

func resolved(key string) *alerts.Event {
	return &alerts.Event{Kind: alerts.EventResolved, Alert: alerts.Key(key)}
}

func sent(kind alerts.Kind, receiver string, millis int64) *alerts.Event {
	return &alerts.Event{Kind: kind, Notified: &alerts.Notified{Receiver: receiver, Millis: millis}}
}

// TestADay is a story with times, and what is to be said of it.
func TestADay(t *testing.T) {
	f := New(begin, at(60*24))
	for _, x := range []struct {
		minute float64
		e      *alerts.Event
	}{
		{-1, fired("old", "Before", "critical", "")}, // before the window: not counted
		{0, of(alerts.EventOpened, "I1")}, {0, fired("a", "Slow", "warning", "blue")},
		{2, of(alerts.EventEscalated, "I1")},
		{4, of(alerts.EventAcked, "I1")}, {5, of(alerts.EventAcked, "I1")}, // the first counts
		{10, resolved("a")}, {10, of(alerts.EventClosed, "I1")},
		{25, of(alerts.EventReopened, "I1")}, {25, fired("a", "Slow", "warning", "blue")}, // 15 minutes: a flap
		{27, of(alerts.EventAcked, "I1")},
		{45, resolved("a")}, {45, of(alerts.EventClosed, "I1")},
		{61, of(alerts.EventOpened, "I2")}, {61, fired("a", "Slow", "critical", "red")}, // 16 minutes: none
		{70, fired("b", "Down", "critical", "blue")},
		{71, of(alerts.EventExhausted, "I2")},
		{80, resolved("old")}, // began before: no time of it
		{81, of(alerts.EventClosed, "I0")},
		{90, of(alerts.EventSilenced, "")},
		{91, sent(alerts.EventNotified, "mail/email/0", 500)}, {92, sent(alerts.EventNotified, "mail/email/0", 1500)},
		{93, sent(alerts.EventNotifyFailed, "mail/email/0", 0)}, {94, sent(alerts.EventNotifyDropped, "mail/email/0", 0)}, {94, sent(alerts.EventNotifyDropped, "mail/email/0", 0)},
		{95, sent(alerts.EventNotifyFailed, "page/webhook/0", 0)},
		{96, &alerts.Event{Kind: "of tomorrow"}},
		{60 * 24, fired("c", "After", "critical", "")}, // behind the window
	} {
		f.Add(at(x.minute), x.e)
	}
	got := f.Stats(0)
	want := Stats{Since: begin, Until: at(60 * 24), First: begin, Fired: 4, Resolved: 3, Flaps: 1, Silences: 1,
		Incidents:  Incidents{Opened: 2, Reopened: 1, Closed: 3, Acked: 3, Escalated: 1, Exhausted: 1},
		Rules:      []Rule{{"Slow", 3, 2, 1, 1800}, {"Down", 1, 0, 0, 0}},
		Severities: []Count{{"critical", 2}, {"warning", 2}},
		Tenants:    []Count{{"blue", 3}, {"red", 1}},
		Ack:        Times{2, 180, 180, 240}, Resolve: Times{2, 900, 900, 1200}, AlertResolve: Times{2, 900, 900, 1200},
		Receivers: []Receiver{{"mail/email/0", 2, 1, 2, 0.5, 1, 1.5}, {"page/webhook/0", 0, 1, 0, 0, 0, 0}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is\n%+v\nwant\n%+v", got, want)
	}
	if n := f.Stats(1).Rules; len(n) != 1 || n[0].Rule != "Slow" {
		t.Errorf("the noisiest is %+v", n)
	}
	if none := New(begin, at(1)).Stats(0); none.Ack != (Times{}) || none.Rules == nil || none.Receivers == nil || !none.First.IsZero() {
		t.Errorf("of nothing: %+v", none)
	}
}

func TestMedianOfManyIsNotTheMean(t *testing.T) {
	f := New(begin, at(1e6))
	for n, minutes := range []float64{1, 2, 3, 100} {
		id := fmt.Sprint(n)
		f.Add(at(0), of(alerts.EventOpened, id))
		f.Add(at(minutes), of(alerts.EventClosed, id))
	}
	if x := f.Stats(0).Resolve; x.Median != 150 || x.Mean != 1590 || x.Max != 6000 {
		t.Errorf("%+v", x)
	}
}

// TestMemoryIsBounded: more than is remembered is counted in all, and said to be cut.
func TestMemoryIsBounded(t *testing.T) {
	f := New(begin, at(1e6))
	const more = 100
	for n := range maxAlerts + more {
		f.Add(at(0), fired(fmt.Sprint(n), fmt.Sprint("rule ", n%(maxNames+1)), "warning", "t"))
	}
	for n := range maxIncidents + more {
		f.Add(at(1), of(alerts.EventOpened, fmt.Sprint(n)))
	}
	for n := range maxNames + more {
		f.Add(at(1), sent(alerts.EventNotified, fmt.Sprint(n), 1))
	}
	if len(f.alerts) > maxAlerts || len(f.incidents) > maxIncidents || len(f.rules) > maxNames || len(f.receivers) > maxNames {
		t.Fatalf("it remembers %d alerts, %d incidents, %d rules, %d receivers", len(f.alerts), len(f.incidents), len(f.rules), len(f.receivers))
	}
	s := f.Stats(0)
	if s.Fired != maxAlerts+more || s.Incidents.Opened != maxIncidents+more || s.Cut < 3*more {
		t.Errorf("fired %d, opened %d, cut %d", s.Fired, s.Incidents.Opened, s.Cut)
	}
	// What has ended long ago makes room.
	for n := range maxAlerts {
		f.Add(at(2), resolved(fmt.Sprint(n)))
	}
	cut := f.Stats(0).Cut
	for n := range f.swept + 1 {
		f.Add(at(20), fired(fmt.Sprint("new ", n), "rule 1", "warning", "t"))
	}
	if f.alerts["new 0"] != nil || f.alerts[alerts.Key(fmt.Sprint("new ", f.Stats(0).Cut-cut))] == nil {
		t.Errorf("%d alerts, cut %d and then %d", len(f.alerts), cut, f.Stats(0).Cut)
	}
	for range maxSamples + more {
		f.sample(&f.ack, time.Minute)
	}
	if x := f.Stats(0).Ack; len(f.ack.list) != maxSamples || x.Count != maxSamples+more || x.Median != 60 {
		t.Errorf("%d samples, %+v", len(f.ack.list), x)
	}
}
