package alerts_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

func TestOneFiresAndResolves(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x severity=critical pending"})
	s.after(time.Minute)
	s.found([]string{"A job=x severity=critical"}, "opened I1", "fired I1 A")
	a, ok := s.s.Alert(key("A job=x severity=critical"))
	if i := s.incident("I1"); !ok || i.Severity != "critical" || i.Title != "A job=x" || len(i.Firing) != 1 || a.Incident != i.ID || i.OpenedAt != s.now || i.Generation != 1 {
		t.Errorf("%+v of %+v", a, i)
	}
	s.after(time.Minute)
	s.found([]string{"A job=x severity=critical"})
	s.after(time.Minute)
	s.found(nil, "resolved I1 A", "closed I1")
	if i := s.incident("I1"); i.Status != alerts.Closed || len(i.Resolved) != 1 {
		t.Errorf("%+v", i)
	}
	if a, ok := s.s.Alert(a.Key); !ok || a.ResolvedAt != s.now {
		t.Errorf("%+v", a)
	}
}

// TestResolvedIsAFinding: only an evaluation that had the rule and not the alert
// resolves it.
func TestResolvedIsAFinding(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x", "B job=x"}, "opened I1", "fired I1 A", "fired I1 B")
	s.after(time.Minute)
	s.rules, s.failed = []string{"B"}, []string{"A"}
	s.found(nil, "resolved I1 B") // A is unknown
	s.after(time.Hour)
	s.found(nil)
	s.rules, s.failed = []string{"A", "B"}, nil
	s.found([]string{"A job=x pending"}) // its condition holds
	s.tells(alerts.Evaluation{Tenant: "blue", File: "f", Group: "other", At: s.now})
	s.tells(alerts.Evaluation{Tenant: "red", File: "f", Group: "g", At: s.now})
	s.after(time.Minute)
	s.rules = []string{"B"}
	s.found(nil, "resolved I1 A (rule_deleted)", "closed I1")
}

func TestAGroupIsGone(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	s.after(time.Minute)
	gone := s.s.Sources()
	if len(gone) != 1 || gone[0].Tenant != "blue" || gone[0].File != "f" || gone[0].Group != "g" {
		t.Fatalf("%+v", gone)
	}
	gone[0].At = s.now
	s.tells(gone[0], "resolved I1 A (rule_deleted)", "closed I1")
	if gone := s.s.Sources(); len(gone) != 0 {
		t.Errorf("%+v", gone)
	}
}

// TestWhoWasPausedRepeatsNothing: what an evaluation from before finds is not told.
func TestWhoWasPausedRepeatsNothing(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x", "B job=x"}, "opened I1", "fired I1 A", "fired I1 B")
	s.after(time.Minute)
	firing, nothing, fresh := s.evaluation("A job=x"), s.evaluation(), s.evaluation("A job=y")
	s.after(time.Minute)
	s.found(nil, "resolved I1 A", "resolved I1 B", "closed I1")
	s.tells(firing)
	s.tells(fresh)
	s.after(time.Minute)
	s.found([]string{"A job=x"}, "reopened I1", "fired I1 A")
	s.tells(nothing)
	// Of long ago nobody knows whether it has ended since.
	old := s.evaluation("B job=z")
	old.Group = "quiet"
	s.after(alerts.ResolvedFor + time.Second)
	s.found([]string{"A job=x", "A job=new"}, "opened I2", "fired I2 A")
	s.tells(old)
	old.At = s.now
	s.tells(old, "opened I3", "fired I3 B")
}

func TestReopen(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	s.does(s.s.Ack(s.incident("I1").ID, "ann", "", time.Time{}, s.now))("acked I1")
	s.after(time.Minute)
	s.found(nil, "resolved I1 A", "closed I1")
	s.after(5*time.Minute - time.Second)
	s.found([]string{"B job=x"}, "reopened I1", "fired I1 B")
	if i := s.incident("I1"); i.Status != alerts.Open || i.AckedBy != "" || i.Cycle != 2 || !i.ClosedAt.IsZero() {
		t.Errorf("%+v", i)
	}
	s.found([]string{"B job=x"})
	s.after(time.Minute)
	s.found(nil, "resolved I1 B", "closed I1")
	s.after(5 * time.Minute)
	s.found([]string{"A job=x"}, "opened I2", "fired I2 A")
	s.after(time.Minute)
	s.found([]string{"A job=x", "A job=y"}, "opened I3", "fired I3 A")
}

// TestSeverityChanges: the alert of the worse severity is another one of the incident,
// which goes on and is raised.
func TestSeverityChanges(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x severity=warning"}, "opened I1", "fired I1 A")
	s.does(s.s.Ack(s.incident("I1").ID, "ann", "", time.Time{}, s.now))("acked I1")
	s.after(time.Minute)
	s.found([]string{"A job=x severity=critical"}, "fired I1 A", "raised I1 critical", "resolved I1 A")
	if i := s.incident("I1"); i.Status != alerts.Open || i.Severity != "critical" || i.Cycle != 2 {
		t.Errorf("%+v", i)
	}
	s.after(time.Minute)
	s.found([]string{"A job=x severity=info"}, "fired I1 A", "resolved I1 A") // it does not fall
	if i := s.incident("I1"); i.Severity != "critical" {
		t.Errorf("%+v", i)
	}
}

// TestTheWorstBegins: an incident begins with its worst alert, and is not raised by
// what comes with it.
func TestTheWorstBegins(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x severity=info", "B job=x severity=critical", "A job=x severity=warning n=2"}, "opened I1", "fired I1 B", "fired I1 A", "fired I1 A")
}

func TestJoined(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x"}, "opened I1", "fired I1 A")
	s.does(s.s.Ack(s.incident("I1").ID, "ann", "", time.Time{}, s.now))("acked I1")
	s.after(time.Minute)
	s.found([]string{"A job=x", "B job=x"}, "fired I1 B")
	if i := s.incident("I1"); i.Status != alerts.Taken || len(i.Joined) != 1 || i.Joined[0] != key("B job=x") {
		t.Errorf("%+v", i)
	}
}

func TestGroupBy(t *testing.T) {
	s := tell(t)
	s.policy.GroupBy = []string{"..."}
	s.found([]string{"A job=x", "B job=x"}, "opened I1", "fired I1 A", "opened I2", "fired I2 B")
	s.policy = alerts.Policy{}
	s.after(time.Minute)
	s.found([]string{"A job=x", "B job=x", "A job=y", "A job=z"}, "opened I3", "fired I3 A", "fired I3 A")
	if i := s.incident("I3"); i.Title != "A" || i.Policy.Name != "" {
		t.Errorf("%+v", i)
	}
	// Values that are quoted are apart, whatever is in them.
	s.policy.GroupBy = []string{"job", "n"}
	s.after(time.Minute)
	before := len(s.s.Incidents(alerts.Filter{}))
	e := s.evaluation()
	for _, l := range [][2]string{{`x" "n"="`, ""}, {"x", ""}, {"", "x"}, {strings.Repeat("x", 5000), ""}, {strings.Repeat("x", 5001), ""}} {
		e.Active = append(e.Active, alerts.Finding{Rule: "A", Firing: true, Labels: alerts.LabelsOf(alerts.Label{Name: "job", Value: l[0]}, alerts.Label{Name: "n", Value: l[1]})})
	}
	s.append(s.s.Transitions(e, s.policyOf, s.now)...)
	if n := len(s.s.Incidents(alerts.Filter{})); n != before+5 {
		t.Errorf("%d incidents more, want 5", n-before)
	}
	for _, i := range s.s.Incidents(alerts.Filter{}) {
		if len(i.Title) > 256 || len(i.Group) > 1024 {
			t.Errorf("group of %d bytes, title of %d", len(i.Group), len(i.Title))
		}
	}
}

// TestExternal: of what is posted only what is spoken of changes.
func TestExternal(t *testing.T) {
	s := tell(t)
	post := func(active ...string) alerts.Evaluation {
		e := s.evaluation(active...)
		e.File, e.Group, e.Evaluated = alerts.SourceExternal, "", nil
		return e
	}
	s.tells(post("A job=x", "B job=x"), "opened I1", "fired I1 A", "fired I1 B")
	s.after(time.Minute)
	s.tells(post("A job=x"))
	s.tells(post("C job=x pending"))
	late := post("A job=x")
	s.after(time.Minute)
	s.tells(post("B job=x pending"), "resolved I1 B")
	s.tells(post("A job=x pending"), "resolved I1 A", "closed I1")
	s.tells(late)
	s.after(time.Minute)
	s.tells(post("A job=x"), "reopened I1", "fired I1 A")
}

// TestTwoGroupsFindTheSame: the alert is of the one that found it first.
func TestTwoGroupsFindTheSame(t *testing.T) {
	s := tell(t)
	s.found([]string{"A job=x", "A job=x", "A job=x pending"}, "opened I1", "fired I1 A")
	e := s.evaluation("A job=x")
	e.Group = "h"
	s.tells(e)
	s.after(time.Minute)
	e = s.evaluation()
	e.Group = "h"
	s.tells(e)
	s.found(nil, "resolved I1 A", "closed I1")
	s.after(time.Minute)
	e = s.evaluation("A job=x")
	e.Group = "h"
	s.tells(e, "reopened I1", "fired I1 A")
	s.after(time.Minute)
	s.found(nil) // is not its own any more
}

// TestHugeAlertsFit: whatever a rule makes of labels and annotations fits an entry.
func TestHugeAlertsFit(t *testing.T) {
	s := tell(t)
	list := []alerts.Label{{Name: "alertname", Value: "A"}, {Name: "severity", Value: "critical"}}
	for n := range 200 {
		list = append(list, alerts.Label{Name: strings.Repeat("l", n+1), Value: strings.Repeat("\x01", 10_000)})
	}
	e := s.evaluation()
	s.policy.GroupBy = []string{"alertname", list[5].Name}
	e.Active = []alerts.Finding{{Rule: "A", Firing: true, Labels: alerts.LabelsOf(list...), Annotations: alerts.LabelsOf(list...)}}
	s.tells(e, "opened I1", "fired I1 A")
	a := s.s.Alerts(alerts.Filter{})[0]
	if a.Key != alerts.KeyOf("blue", e.Active[0].Labels) || a.Labels.Get("alertname") != "A" || a.Severity() != "critical" || len(a.Annotations) > alerts.MaxAnnotations {
		t.Errorf("%+v", a)
	}
	s.after(time.Minute)
	s.found(nil, "resolved I1 A", "closed I1")
}

// TestValuesThatAreNoNumbers fire as others do: a rate by nothing is +Inf.
func TestValuesThatAreNoNumbers(t *testing.T) {
	s := tell(t)
	e := s.evaluation("A job=x", "A job=y", "A job=z", "A job=w")
	for n, v := range []float64{math.Inf(1), math.Inf(-1), math.NaN(), 1e-300} {
		e.Active[n].Value = v
	}
	s.policy.GroupBy = []string{"alertname"}
	s.tells(e, "opened I1", "fired I1 A", "fired I1 A", "fired I1 A", "fired I1 A")
	for n, f := range e.Active {
		a, ok := s.s.Alert(alerts.KeyOf("blue", f.Labels))
		if !ok || a.Value != f.Value && !(math.IsNaN(a.Value) && math.IsNaN(f.Value)) {
			t.Errorf("%d: %v, want %v", n, a.Value, f.Value)
		}
	}
	var a alerts.Alert
	if err := a.UnmarshalJSON([]byte(`{"value":"many"}`)); err == nil {
		t.Error("many is a number")
	}
}
