package alerts_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

func TestLabels(t *testing.T) {
	l := alerts.LabelsOf(alerts.Label{"b", "2"}, alerts.Label{"a", "0"}, alerts.Label{"c", ""}, alerts.Label{"a", "1"})
	if want := (alerts.Labels{{"a", "1"}, {"b", "2"}}); !reflect.DeepEqual(l, want) {
		t.Fatalf("%v", l)
	}
	if l.Get("b") != "2" || l.Get("c") != "" || alerts.Labels(nil).Get("a") != "" {
		t.Error("get")
	}
	b, err := json.Marshal(l)
	if err != nil || string(b) != `{"a":"1","b":"2"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back alerts.Labels
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, l) {
		t.Errorf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`["a"]`), &back); err == nil || !strings.Contains(err.Error(), "labels") {
		t.Errorf("%v", err)
	}
}

// The key is stored: it must not change.
func TestKeyOf(t *testing.T) {
	f := func(tenant string, l ...alerts.Label) alerts.Key { return alerts.KeyOf(tenant, alerts.LabelsOf(l...)) }
	if got := f("blue", alerts.Label{"alertname", "A"}); got != "dac5c22d2955cc715a67f7d5d0fe2697" {
		t.Errorf("%s", got)
	}
	seen := map[alerts.Key]bool{}
	for _, k := range []alerts.Key{
		f(""), f("a"), f("", alerts.Label{"a", "b"}), f("a", alerts.Label{"b", "c"}), f("", alerts.Label{"ab", "c"}), f("", alerts.Label{"a", "bc"}),
		f("", alerts.Label{"a", "b"}, alerts.Label{"c", "d"}), f("", alerts.Label{"a", "bcd"}),
	} {
		if seen[k] || len(k) != 32 {
			t.Errorf("%s is there twice, or short", k)
		}
		seen[k] = true
	}
}

func TestSeverity(t *testing.T) {
	for _, c := range [][2]alerts.Severity{{"critical", "warning"}, {"warning", "info"}, {"info", ""}, {"error", "warning"}, {"P1", "info"}} {
		if !c[0].WorseThan(c[1]) || c[1].WorseThan(c[0]) || c[0].WorseThan(c[0]) {
			t.Errorf("%q and %q", c[0], c[1])
		}
	}
}

func TestNeeded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	keys := func(s string) (list []alerts.Key) {
		for _, k := range strings.Fields(s) {
			list = append(list, alerts.Key(k))
		}
		return list
	}
	f := func(what, sentFiring, sentResolved string, ago time.Duration, firing, resolved string, want bool, change ...func(*alerts.Want)) {
		t.Helper()
		w := alerts.Want{Firing: keys(firing), Resolved: keys(resolved), Repeat: time.Hour, SendResolved: true}
		for _, c := range change {
			c(&w)
		}
		if got := w.Needed(alerts.Sent{Firing: keys(sentFiring), Resolved: keys(sentResolved), At: now.Add(-ago)}, now); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	f("first", "", "", 0, "a", "", true)
	f("nothing ever", "", "", 0, "", "a", false)
	f("the same", "a", "", time.Minute, "a", "", false)
	f("the same for long", "a", "", time.Hour, "a", "", true)
	f("the same for ever, without repeat", "a", "", time.Hour, "a", "", false, func(w *alerts.Want) { w.Repeat = 0 })
	f("one more", "a", "", time.Minute, "a b", "", true)
	f("another", "a", "", time.Minute, "b", "", true)
	f("one resolved", "a b", "", time.Minute, "a", "b", true)
	f("one resolved, told", "a", "b", time.Minute, "a", "b", false)
	f("one resolved, not wanted", "a b", "", time.Minute, "a", "b", false, func(w *alerts.Want) { w.SendResolved = false })
	f("all resolved", "a", "", time.Minute, "", "a", true)
	f("all resolved, not wanted", "a", "", time.Minute, "", "a", false, func(w *alerts.Want) { w.SendResolved = false })
	f("all resolved, told", "", "a", time.Hour, "", "a", false)
	f("fires again", "", "a", time.Minute, "a", "", true)
	f("a level", "a", "", time.Minute, "a", "", true, func(w *alerts.Want) { w.Always = true })
}

func TestPolicy(t *testing.T) {
	sound := func() alerts.Policy {
		return alerts.Policy{Name: "p", GroupBy: []string{"alertname"}, Repeat: 2, Levels: []alerts.Level{
			{After: 0, Targets: []string{"a"}, While: alerts.Unacked}, {After: 5 * time.Minute, Targets: []string{"b"}, While: alerts.Unresolved},
			{After: 15 * time.Minute, Targets: []string{"c"}, While: alerts.Unacked},
		}}
	}
	p := sound()
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if got := p.Cycle(); got != 25*time.Minute {
		t.Errorf("cycle %s", got)
	}
	for want, change := range map[string]func(*alerts.Policy){
		"no name":               func(p *alerts.Policy) { p.Name = "" },
		"group_by is empty":     func(p *alerts.Policy) { p.GroupBy = nil },
		"one or the other":      func(p *alerts.Policy) { p.GroupBy = []string{"a", "..."} },
		"has 21 levels":         func(p *alerts.Policy) { p.Levels = make([]alerts.Level, 21) },
		"repeat is 101":         func(p *alerts.Policy) { p.Repeat = 101 },
		"must not be negative":  func(p *alerts.Policy) { p.AckTimeout = -1 },
		"level 2 is after 0s":   func(p *alerts.Policy) { p.Levels[1].After = 0 },
		"level 3 has no target": func(p *alerts.Policy) { p.Levels[2].Targets = nil },
		`level 1 is while ""`:   func(p *alerts.Policy) { p.Levels[0].While = "" },
		"cycle_for is 15m0s":    func(p *alerts.Policy) { p.CycleFor = 15 * time.Minute },
	} {
		p := sound()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
