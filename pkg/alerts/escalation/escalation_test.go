package escalation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/escalation"
)

var zero = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// story is an incident whose clock goes on minute by minute; what is due is noted
// with its minute.
type story struct {
	t    *testing.T
	i    alerts.Incident
	now  time.Time
	open map[string]bool
	told []string
}

func begin(t *testing.T, change func(*alerts.Policy)) *story {
	t.Helper()
	p := alerts.Policy{Name: "p", GroupBy: []string{"alertname"}, Levels: []alerts.Level{
		{Targets: []string{"chat"}, While: alerts.Unacked},
		{After: 5 * time.Minute, Targets: []string{"pager"}, While: alerts.Unacked},
		{After: 15 * time.Minute, Targets: []string{"boss", "phone"}, While: alerts.Unresolved},
	}, OnExhausted: []string{"all"}}
	if change != nil {
		change(&p)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return &story{t: t, now: zero, open: map[string]bool{}, i: alerts.Incident{ID: "I", Tenant: "blue", Severity: "warning", Policy: p,
		Status: alerts.Open, OpenedAt: zero, Cycle: 1, CycleAt: zero, Generation: 1}}
}

// step does all that is due now.
func (s *story) step() {
	s.t.Helper()
	for range 10 {
		due, next := escalation.Step(&s.i, s.now, func(name string) bool { return s.open[name] })
		if !next.IsZero() && next.Before(s.now) {
			s.t.Errorf("minute %d: to be looked at again at %s, which has passed", s.minute(), next)
		}
		for _, e := range due {
			if e.Incident != "I" || e.Tenant != "blue" || e.Actor != alerts.ActorEscalation {
				s.t.Errorf("%+v", e)
			}
			text := fmt.Sprintf("%d %s", s.minute(), e.Kind)
			if e.Escalated != nil {
				text += fmt.Sprintf(" %d.%d %s", e.Escalated.Cycle, e.Escalated.Level, strings.Join(e.Escalated.Targets, "+"))
			}
			s.told = append(s.told, text)
			if !escalation.Apply(&s.i, &e) {
				s.t.Errorf("%s does not fit the incident that it is due of", text)
			}
			if e.Escalated != nil && escalation.Apply(&s.i, &e) {
				s.t.Errorf("%s fits twice", text)
			}
		}
		if len(due) == 0 {
			return
		}
	}
	s.t.Fatalf("minute %d: something is due for ever: %v", s.minute(), s.told)
}

func (s *story) minute() int { return int(s.now.Sub(zero) / time.Minute) }

// until lets the minutes up to m pass, looking at each.
func (s *story) until(m int) {
	s.t.Helper()
	s.step()
	for s.minute() < m {
		s.now = s.now.Add(time.Minute)
		s.step()
	}
}

func (s *story) does(k alerts.Kind, change func(*alerts.Event)) {
	s.t.Helper()
	e := alerts.Event{Kind: k, At: s.now, Actor: "ann"}
	if change != nil {
		change(&e)
	}
	before := s.i.Generation
	if !escalation.Apply(&s.i, &e) || s.i.Generation != before+1 {
		s.t.Errorf("minute %d: %s does not fit, or its timers hold", s.minute(), k)
	}
}

func (s *story) want(lines ...string) {
	s.t.Helper()
	if !slices.Equal(s.told, lines) {
		s.t.Errorf("got\n  %s\nwant\n  %s", strings.Join(s.told, "\n  "), strings.Join(lines, "\n  "))
	}
}

func TestEveryLevelAtItsTime(t *testing.T) {
	s := begin(t, nil)
	s.until(60)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "15 escalated 1.3 boss+phone", "25 exhausted 1.0 all")
	if _, next := escalation.Step(&s.i, s.now, nil); !next.IsZero() {
		t.Errorf("exhausted, and to be looked at again at %s", next)
	}
}

func TestWhoWasAwayTellsAllThatIsDue(t *testing.T) {
	s := begin(t, nil)
	s.now = zero.Add(16 * time.Minute)
	s.step()
	s.want("16 escalated 1.1 chat", "16 escalated 1.2 pager", "16 escalated 1.3 boss+phone")
}

func TestAckStopsWhatIsForTheUnacked(t *testing.T) {
	s := begin(t, nil)
	s.until(4)
	s.does(alerts.EventAcked, nil)
	if s.i.AckedBy != "ann" || s.i.Status != alerts.Taken {
		t.Errorf("%+v", s.i)
	}
	s.until(60)
	s.want("0 escalated 1.1 chat", "15 escalated 1.3 boss+phone")
}

// The ack and the timer race: whichever is in the log first decides.
func TestAckAtTheMinuteOfALevel(t *testing.T) {
	s := begin(t, nil)
	s.until(4)
	s.now = s.now.Add(time.Minute)
	s.does(alerts.EventAcked, nil)
	s.step()
	s.want("0 escalated 1.1 chat")
}

func TestAckThatExpires(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.AckTimeout = 30 * time.Minute; p.Levels[2].While = alerts.Unacked })
	s.until(2)
	s.does(alerts.EventAcked, nil)
	s.until(38)
	s.want("0 escalated 1.1 chat", "32 ack_expired", "32 escalated 2.1 chat", "37 escalated 2.2 pager")
	s = begin(t, func(p *alerts.Policy) { p.AckTimeout = 30 * time.Minute })
	s.does(alerts.EventAcked, func(e *alerts.Event) { e.Until = zero.Add(2 * time.Minute) })
	s.until(2)
	s.want("2 ack_expired", "2 escalated 2.1 chat")
}

func TestUnack(t *testing.T) {
	s := begin(t, nil)
	s.until(6)
	s.does(alerts.EventAcked, nil)
	s.until(10)
	s.does(alerts.EventUnacked, nil)
	s.until(16)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "10 escalated 2.1 chat", "15 escalated 2.2 pager")
}

func TestRepeatAndExhaustion(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Repeat = 1; p.CycleFor = 20 * time.Minute })
	s.until(100)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "15 escalated 1.3 boss+phone", "20 repeated",
		"20 escalated 2.1 chat", "25 escalated 2.2 pager", "35 escalated 2.3 boss+phone", "40 exhausted 2.0 all")
}

// Who comes back after hours does not go through the cycles that were missed.
func TestLateByMoreThanACycle(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Repeat = 5; p.CycleFor = 20 * time.Minute })
	s.until(1)
	s.now = zero.Add(5 * time.Hour)
	s.step()
	s.until(306)
	s.want("0 escalated 1.1 chat", "300 escalated 1.2 pager", "300 escalated 1.3 boss+phone", "300 repeated", "300 escalated 2.1 chat", "305 escalated 2.2 pager")
}

func TestWorseSeverity(t *testing.T) {
	s := begin(t, nil)
	s.until(1)
	s.does(alerts.EventAcked, nil)
	s.until(3)
	if escalation.Apply(&s.i, &alerts.Event{Kind: alerts.EventRaised, Severity: "info", At: s.now}) {
		t.Error("a milder severity fits")
	}
	s.does(alerts.EventRaised, func(e *alerts.Event) { e.Severity = "critical" })
	s.until(9)
	s.want("0 escalated 1.1 chat", "3 escalated 2.1 chat", "8 escalated 2.2 pager")
	s = begin(t, nil) // an open one goes on where it is
	s.until(1)
	s.does(alerts.EventRaised, func(e *alerts.Event) { e.Severity = "critical" })
	s.until(6)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager")
}

func TestLowUrgencyStaysAtTheFirstLevel(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.LowUrgency = []alerts.Severity{"info", "warning"} })
	s.until(16)
	s.want("0 escalated 1.1 chat")
}

func TestTimeIntervals(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Levels[1].Active = []string{"day", "eve"} })
	s.until(7)
	s.open["eve"] = true
	s.until(9)
	s.want("0 escalated 1.1 chat", "7 escalated 1.2 pager")
}

func TestCloseAndReopen(t *testing.T) {
	s := begin(t, nil)
	s.until(6)
	s.does(alerts.EventClosed, nil)
	s.until(30)
	for _, k := range []alerts.Kind{alerts.EventAcked, alerts.EventUnacked, alerts.EventRaised, alerts.EventRepeated, alerts.EventExhausted, alerts.EventClosed, alerts.EventAckExpired, "unknown"} {
		if escalation.Apply(&s.i, &alerts.Event{Kind: k, At: s.now, Severity: "critical"}) {
			t.Errorf("%s of a closed incident fits", k)
		}
	}
	s.does(alerts.EventReopened, nil)
	s.until(36)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "30 escalated 2.1 chat", "35 escalated 2.2 pager")
}

func TestWithoutLevels(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Levels = nil })
	s.until(60)
	s.want()
	s.does(alerts.EventAcked, nil)
}
