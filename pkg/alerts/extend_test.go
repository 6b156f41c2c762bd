package alerts_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// sender posts alerts, as Prometheus does: each minute, to end four minutes later.
type sender struct {
	*story
	posted map[alerts.Key]alerts.Posted
}

func (s *sender) post(group string, end time.Duration, active ...string) {
	s.t.Helper()
	e := s.evaluation(active...)
	e.File, e.Group, e.Evaluated = alerts.SourceExternal, group, nil
	for n := range e.Active {
		f := &e.Active[n]
		f.EndsAt = s.now.Add(end)
		s.posted[alerts.KeyOf(e.Tenant, f.Labels)] = alerts.Posted{At: s.now, EndsAt: f.EndsAt}
	}
	if events := s.s.Transitions(e, s.policyOf, s.now); len(events) > 0 {
		s.append(events...)
	}
}

// sweeps does every five seconds what a replica does, and tells how many bytes that
// put into the log.
func (s *sender) sweeps(d time.Duration) (bytes int) {
	s.t.Helper()
	for end := s.now.Add(d); s.now.Before(end); s.after(5 * time.Second) {
		for _, e := range s.s.Ended(s.now) {
			s.append(s.s.Transitions(e, s.policyOf, s.now)...)
		}
		for _, e := range s.s.Extend(s.posted, 0.5, s.now) {
			b, err := json.Marshal(e)
			if err != nil {
				s.t.Fatal(err)
			}
			bytes += len(b)
			before := s.s.Counts()
			s.append(e)
			if s.s.Counts() != before {
				s.t.Fatalf("%s does not fit", b)
			}
		}
	}
	return bytes
}

func (s *sender) firing() (list []string) {
	for _, a := range s.s.Alerts(alerts.Filter{States: []string{alerts.Firing}}) {
		list = append(list, a.Labels.Get("job"))
	}
	slices.Sort(list)
	return list
}

func sends(t *testing.T) *sender {
	s := &sender{tell(t), map[alerts.Key]alerts.Posted{}}
	s.policy.GroupBy = []string{"alertname"}
	return s
}

// TestPostedAlertsEndWhenTheyArePostedNoMore, at the end that was posted last, and the
// log does not grow with what is posted.
func TestPostedAlertsEndWhenTheyArePostedNoMore(t *testing.T) {
	s := sends(t)
	var all []string
	for n := range 400 {
		all = append(all, fmt.Sprintf("A job=j%03d", n))
	}
	bytes := 0
	for range 12 {
		for part := range slices.Chunk(all, 40) { // groups of rules are not all evaluated at once
			s.post("prom:9090", 4*time.Minute, part...)
			bytes += s.sweeps(5 * time.Second)
		}
		bytes += s.sweeps(10 * time.Second)
	}
	if n := len(s.firing()); n != 400 {
		t.Fatalf("%d fire of 400 that are posted each minute", n)
	}
	if most := 12 * 500; bytes > most {
		t.Errorf("twelve minutes of 400 alerts are %d bytes of the log, want at most %d", bytes, most)
	}
	// Half of them is posted no more.
	stopped := s.now
	for range 3 {
		s.post("prom:9090", 4*time.Minute, all[:200]...)
		s.sweeps(time.Minute - 5*time.Second)
		if n := len(s.firing()); n != 400 {
			t.Fatalf("%d fire %s after half of them was posted last", n, s.now.Sub(stopped))
		}
		s.sweeps(5 * time.Second)
	}
	for range 2 {
		s.post("prom:9090", 4*time.Minute, all[:200]...)
		s.sweeps(time.Minute)
	}
	if list := s.firing(); len(list) != 200 || list[199] != "j199" {
		t.Errorf("%d fire 5 minutes after half of them was posted last: %v", len(list), list)
	}
	s.replays()
}

// replays: whoever reads the log has the same.
func (s *sender) replays() {
	s.t.Helper()
	again := alerts.NewState()
	for _, e := range s.entries {
		again.Apply(e)
	}
	a, b := s.s.Snapshot(), again.Snapshot()
	if x, y := mustJSON(s.t, a), mustJSON(s.t, b); x != y {
		s.t.Errorf("read again it is\n%.2000s\nand was\n%.2000s", y, x)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExtend: who is named, and who is not.
func TestExtend(t *testing.T) {
	s := sends(t)
	s.post("p", 4*time.Minute, "A job=x", "A job=y", "A job=z")
	s.post("q", 4*time.Minute, "A job=w")
	s.after(time.Minute)
	s.post("p", 4*time.Minute, "A job=x", "A job=y", "A job=z")
	if events := s.s.Extend(s.posted, 0.5, s.now); events != nil {
		t.Errorf("three of four minutes are left: %+v", events)
	}
	third := s.now.Add(4 * time.Minute)
	s.after(165 * time.Second)
	s.post("p", 4*time.Minute, "A job=x", "A job=y")
	end := s.now.Add(4 * time.Minute)
	events := s.s.Extend(s.posted, 0.5, s.now)
	if len(events) != 2 {
		t.Fatalf("%s", mustJSON(t, events))
	}
	if e := events[0]; len(e.Extended.Alerts)+len(e.Extended.Except) != 0 || !e.Until.Equal(third) { // the third's, which harms nobody
		t.Errorf("%s", mustJSON(t, e))
	}
	if e := events[1]; !slices.Equal(e.Extended.Except, []alerts.Key{key("A job=z")}) || !e.Until.Equal(end) || e.Extended.Group != "p" {
		t.Errorf("%s", mustJSON(t, e))
	}
	s.append(events...)
	for job, want := range map[string]time.Time{"x": end, "y": end, "z": third, "w": noon.Add(4 * time.Minute)} {
		if a, _ := s.s.Alert(key("A job=" + job)); !a.EndsAt.Equal(want) {
			t.Errorf("%s ends at %s, want %s", job, a.EndsAt, want)
		}
	}
	// No end moves nearer, and what is not there, or of a rule, is left alone.
	s.found([]string{"B job=x"}, "opened I1", "fired I1 B")
	s.append(alerts.Event{Kind: alerts.EventExtended, Tenant: "blue", Until: noon, Extended: &alerts.Extended{Group: "p"}},
		alerts.Event{Kind: alerts.EventExtended, Tenant: "green", Until: end.Add(time.Hour), Extended: &alerts.Extended{Alerts: []alerts.Key{key("A job=x")}}},
		alerts.Event{Kind: alerts.EventExtended, Tenant: "blue", Until: end.Add(time.Hour), Extended: &alerts.Extended{Alerts: []alerts.Key{key("B job=x"), "none"}}})
	if a, _ := s.s.Alert(key("A job=x")); !a.EndsAt.Equal(end) {
		t.Errorf("ends at %s", a.EndsAt)
	}
	if a, _ := s.s.Alert(key("B job=x")); !a.EndsAt.IsZero() {
		t.Errorf("an alert of a rule ends at %s", a.EndsAt)
	}
}

// TestPostedBeforeItFiredAgain: what a replica has of an earlier life moves no end.
func TestPostedBeforeItFiredAgain(t *testing.T) {
	s := sends(t)
	s.post("p", time.Minute, "A job=x")
	s.after(10 * time.Second)
	s.post("p", time.Hour, "A job=x")
	old := s.posted[key("A job=x")]
	s.after(time.Second)
	e := s.evaluation("A job=x pending")
	e.File, e.Evaluated = alerts.SourceExternal, nil // of another sender
	s.tells(e, "resolved I1 A", "closed I1")
	s.after(time.Second)
	s.post("p", time.Minute, "A job=x")
	s.posted[key("A job=x")] = old
	if events := s.s.Extend(s.posted, 1, s.now); events != nil {
		t.Errorf("%s", mustJSON(t, events))
	}
	s.sweeps(2 * time.Minute)
	if a, _ := s.s.Alert(key("A job=x")); a.ResolvedAt.IsZero() || a.ResolvedAt.After(noon.Add(80*time.Second)) {
		t.Errorf("%+v", a)
	}
}

// TestPostsHaveAnOrderOfTheirOwn: a replica whose clock is behind ends what another
// one let fire.
func TestPostsHaveAnOrderOfTheirOwn(t *testing.T) {
	s := sends(t)
	s.post("p", time.Hour, "A job=x")
	s.now = s.now.Add(-time.Second)
	e := s.evaluation("A job=x pending")
	e.File, e.Evaluated = alerts.SourceExternal, nil
	s.tells(e, "resolved I1 A", "closed I1")
	s.now = s.now.Add(-time.Second)
	s.post("p", time.Hour, "A job=x")
	if n := len(s.firing()); n != 1 {
		t.Errorf("%d fire", n)
	}
	if n := s.s.Posted("blue"); n != 1 {
		t.Errorf("%d posted", n)
	}
	if n := s.s.Posted("green"); n != 0 {
		t.Errorf("%d posted by another", n)
	}
}
