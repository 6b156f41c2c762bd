package escalation_test

import (
	"fmt"
	"math/rand/v2"
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
	t     *testing.T
	i     alerts.Incident
	now   time.Time
	open  map[string]bool
	muted bool
	told  []string
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
		Status: alerts.Open, OpenedAt: zero, Cycle: 1, CycleAt: zero, Generation: 1, Firing: []alerts.Key{"a"}}}
}

// step does all that is due now, and notes when it has to be looked at again.
func (s *story) step() (next time.Time) {
	s.t.Helper()
	for range 10 {
		due, next := escalation.Step(&s.i, s.now, escalation.Around{Open: func(name string) bool { return s.open[name] }, Muted: s.muted})
		if !next.IsZero() && next.Before(s.now) {
			s.t.Errorf("minute %d: to be looked at again at %s, which has passed", s.minute(), next)
		}
		for _, e := range due {
			if e.Incident != "I" || e.Tenant != "blue" || e.Actor != alerts.ActorEscalation || !e.At.Equal(s.now) {
				s.t.Errorf("%+v", e)
			}
			text := fmt.Sprintf("%d %s", s.minute(), e.Kind)
			if e.Escalated != nil {
				text += fmt.Sprintf(" %d.%d %s", e.Escalated.Cycle, e.Escalated.Level, strings.Join(e.Escalated.Targets, "+"))
			}
			s.told = append(s.told, text)
			e.At = time.Time{} // nothing may be computed with the writer's clock
			if !s.i.Apply(&e, s.now) {
				s.t.Errorf("%s does not fit the incident that it is due of", text)
			}
			if e.Escalated != nil && s.i.Apply(&e, s.now) {
				s.t.Errorf("%s fits twice", text)
			}
		}
		if len(due) == 0 {
			return next
		}
	}
	s.t.Fatalf("minute %d: something is due for ever: %v", s.minute(), s.told)
	return next
}

func (s *story) minute() int { return int(s.now.Sub(zero) / time.Minute) }

// until lets the minutes up to m pass, looking at the incident only when it has asked
// for it: nothing is due in between.
func (s *story) until(m int) {
	s.t.Helper()
	next := s.step()
	for s.minute() < m {
		s.now = s.now.Add(time.Minute)
		asked := !next.IsZero() && !next.After(s.now)
		n := len(s.told)
		next = s.step()
		if len(s.told) > n && !asked {
			s.t.Errorf("minute %d: %s is due, and nobody was asked to look", s.minute(), s.told[n])
		}
	}
}

func (s *story) does(k alerts.Kind, change func(*alerts.Event)) {
	s.t.Helper()
	e := alerts.Event{Kind: k, Actor: "ann"}
	if change != nil {
		change(&e)
	}
	before := s.i.Generation
	if !s.i.Apply(&e, s.now) || s.i.Generation != before+1 {
		s.t.Errorf("minute %d: %s does not fit, or its timers hold", s.minute(), k)
	}
}

// fires and ends are alerts of the incident.
func (s *story) fires(k alerts.Key) {
	s.t.Helper()
	if !s.i.Apply(&alerts.Event{Kind: alerts.EventFired, Alert: k}, s.now) {
		s.t.Errorf("minute %d: %s does not fire", s.minute(), k)
	}
}

func (s *story) ends(k alerts.Key) {
	s.t.Helper()
	if !s.i.Apply(&alerts.Event{Kind: alerts.EventResolved, Alert: k}, s.now) {
		s.t.Errorf("minute %d: %s does not end", s.minute(), k)
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
	if next := s.step(); !next.IsZero() {
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
	late, _ := escalation.Step(&s.i, s.now, escalation.Around{})
	s.does(alerts.EventAcked, nil)
	if len(late) != 1 || s.i.Apply(&late[0], s.now) {
		t.Errorf("what was due before the ack fits behind it: %+v", late)
	}
	s.step()
	s.want("0 escalated 1.1 chat")
	s = begin(t, nil)
	s.until(5)
	s.does(alerts.EventAcked, nil)
	s.until(14)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager")
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

// The repeats begin anew with an ack that ends: a second night is as the first.
func TestAckThatExpiresAndRepeats(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) {
		p.AckTimeout, p.Repeat, p.CycleFor, p.Levels = 30*time.Minute, 1, 10*time.Minute, p.Levels[:1]
	})
	s.until(11)
	s.does(alerts.EventAcked, nil)
	s.until(80)
	s.want("0 escalated 1.1 chat", "10 repeated", "10 escalated 2.1 chat", "41 ack_expired", "41 escalated 3.1 chat",
		"51 repeated", "51 escalated 4.1 chat", "61 exhausted 4.0 all")
	s.does(alerts.EventAcked, nil) // also of what is exhausted
	s.until(111)
	if s.i.Cycle != 5 || s.i.Exhausted {
		t.Errorf("%+v", s.i)
	}
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
	s.until(310)
	s.want("0 escalated 1.1 chat", "300 escalated 1.2 pager", "300 escalated 1.3 boss+phone", "305 repeated", "305 escalated 2.1 chat", "310 escalated 2.2 pager")
}

func TestLateByMoreThanACycleWhenAllWereTold(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Repeat = 2; p.CycleFor = 20 * time.Minute })
	s.until(16)
	s.now = zero.Add(5 * time.Hour)
	s.until(345)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "15 escalated 1.3 boss+phone", "300 repeated", "300 escalated 2.1 chat", "305 escalated 2.2 pager",
		"315 escalated 2.3 boss+phone", "320 repeated", "320 escalated 3.1 chat", "325 escalated 3.2 pager", "335 escalated 3.3 boss+phone", "340 exhausted 3.0 all")
}

func TestWorseSeverity(t *testing.T) {
	s := begin(t, nil)
	s.until(1)
	s.does(alerts.EventAcked, nil)
	s.until(3)
	if s.i.Apply(&alerts.Event{Kind: alerts.EventRaised, Severity: "info"}, s.now) {
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

// Nobody has answered, and it becomes worse: that is told.
func TestWorseSeverityOfWhatIsExhausted(t *testing.T) {
	s := begin(t, nil)
	s.until(40)
	s.does(alerts.EventRaised, func(e *alerts.Event) { e.Severity = "critical" })
	s.until(45)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "15 escalated 1.3 boss+phone", "25 exhausted 1.0 all", "40 escalated 2.1 chat", "45 escalated 2.2 pager")
}

func TestLowUrgencyStaysAtTheFirstLevel(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.LowUrgency = []alerts.Severity{"info", "warning"}; p.Repeat = 3 })
	s.until(100)
	s.want("0 escalated 1.1 chat")
	s.does(alerts.EventRaised, func(e *alerts.Event) { e.Severity = "critical" })
	s.until(105) // and not all at once
	s.want("0 escalated 1.1 chat", "100 escalated 2.1 chat", "105 escalated 2.2 pager")
}

func TestTimeIntervals(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Levels[1].Active = []string{"day", "eve"} })
	s.until(7)
	s.open["eve"] = true
	s.until(9)
	s.want("0 escalated 1.1 chat", "7 escalated 1.2 pager")
}

// A level that waits for the day does not hold back one that is for the night.
func TestTimeIntervalsOfOthers(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) {
		p.Levels[0].Active = []string{"day"}
		p.Levels[1].Active = []string{"day"}
	})
	s.until(16)
	s.open["day"] = true
	s.until(24)
	s.want("15 escalated 1.3 boss+phone")
}

// The cycle does not end while its last level waits, and then those who are told have
// the time that they are to have.
func TestTimeIntervalOfTheLastLevel(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Levels[2].Active = []string{"day"} })
	s.until(500)
	s.open["day"] = true
	s.until(520)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "500 escalated 1.3 boss+phone", "510 exhausted 1.0 all")
}

// Another alert of an acked incident is told once, to whoever was told; it stays acked.
func TestJoins(t *testing.T) {
	s := begin(t, nil)
	s.fires("early") // an open one goes on where it is
	s.until(6)
	s.does(alerts.EventAcked, nil)
	s.until(7)
	s.fires("b")
	s.fires("c")
	s.until(9)
	s.ends("b")
	s.fires("d")
	s.ends("d") // before anybody looked
	s.until(12)
	s.fires("b")
	s.until(14)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "7 joined 1.2 chat+pager", "12 joined 1.2 chat+pager")
	if s.i.Status != alerts.Taken || !slices.Equal(s.i.Firing, []alerts.Key{"a", "b", "c", "early"}) || !slices.Equal(s.i.Resolved, []alerts.Key{"d"}) {
		t.Errorf("%+v", s.i)
	}
}

func TestJoinsAtNight(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Levels[0].Active = []string{"day"} })
	s.open["day"] = true
	s.until(1)
	s.does(alerts.EventAcked, nil)
	s.open["day"] = false
	s.fires("b")
	s.until(10)
	s.open["day"] = true
	s.until(12)
	s.want("0 escalated 1.1 chat", "10 joined 1.1 chat")
}

// Before anybody was told there is nobody to tell of a join; the next level tells it.
func TestJoinsBeforeTheFirstLevel(t *testing.T) {
	s := begin(t, nil)
	s.does(alerts.EventAcked, nil)
	s.fires("b")
	s.until(14)
	s.want()
	s.until(16)
	s.want("15 escalated 1.3 boss+phone", "15 joined 1.3 chat+pager+boss+phone")
}

func TestSilenceThenResolve(t *testing.T) {
	s := begin(t, nil)
	s.until(3)
	s.muted = true
	s.until(20)
	s.ends("a")
	s.does(alerts.EventClosed, nil)
	s.until(30)
	s.muted = false
	s.until(60)
	s.want("0 escalated 1.1 chat", "5 held")
}

// A silence that ends before anything is due leaves no trace.
func TestShortSilence(t *testing.T) {
	s := begin(t, nil)
	s.until(1)
	s.muted = true
	s.until(4)
	s.muted = false
	s.until(5)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager")
}

// After a long one nobody is woken by a level whose time has come in it: the levels
// begin anew.
func TestSilenceThatEnds(t *testing.T) {
	s := begin(t, nil)
	s.muted = true
	s.until(120)
	s.muted = false
	s.until(125)
	s.want("0 held", "120 continued", "120 escalated 2.1 chat", "125 escalated 2.2 pager")
	s = begin(t, nil) // exhaustion is told to nobody either
	s.until(24)
	s.muted = true
	s.until(30)
	s.does(alerts.EventAcked, nil)
	s.muted = false
	s.until(60)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "15 escalated 1.3 boss+phone", "25 held")
}

// Who has acked keeps it through a silence, and levels for all that go on, go on.
func TestSilenceOfWhatIsAcked(t *testing.T) {
	s := begin(t, nil)
	s.until(1)
	s.does(alerts.EventAcked, nil)
	s.muted = true
	s.fires("b")
	s.until(20)
	s.muted = false
	s.until(36)
	s.want("0 escalated 1.1 chat", "15 held", "20 continued", "35 escalated 2.3 boss+phone", "35 joined 2.3 chat+pager+boss+phone")
	if s.i.Status != alerts.Taken || s.i.AckedBy != "ann" {
		t.Errorf("%+v", s.i)
	}
}

func TestCloseAndReopen(t *testing.T) {
	s := begin(t, nil)
	s.until(6)
	s.ends("a")
	s.does(alerts.EventClosed, nil)
	s.until(30)
	s.does(alerts.EventReopened, nil)
	s.fires("a")
	s.until(36)
	s.want("0 escalated 1.1 chat", "5 escalated 1.2 pager", "30 escalated 2.1 chat", "35 escalated 2.2 pager")
	if len(s.i.Resolved) != 0 || !s.i.ClosedAt.IsZero() {
		t.Errorf("%+v", s.i)
	}
}

func TestWithoutLevels(t *testing.T) {
	s := begin(t, func(p *alerts.Policy) { p.Levels = nil })
	s.until(60)
	s.want()
	s.does(alerts.EventAcked, nil)
}

// TestAnyStory goes through random ones: nothing is due for ever or looked for in the
// past (step says so), no level is told twice in a cycle, and nobody is told of what is
// closed or muted.
func TestAnyStory(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		s := begin(t, func(p *alerts.Policy) {
			p.Levels = p.Levels[:r.IntN(4)]
			for n := range p.Levels {
				if r.IntN(3) == 0 {
					p.Levels[n].Active = []string{"day"}
				}
				if r.IntN(2) == 0 {
					p.Levels[n].While = alerts.Unresolved
				}
			}
			p.Repeat, p.AckTimeout = r.IntN(3), time.Duration(r.IntN(2)*20)*time.Minute
			if r.IntN(3) == 0 {
				p.LowUrgency = []alerts.Severity{"warning"}
			}
		})
		kinds := []alerts.Kind{alerts.EventAcked, alerts.EventUnacked, alerts.EventRaised, alerts.EventClosed, alerts.EventReopened, alerts.EventFired,
			alerts.EventResolved, alerts.EventEscalated, alerts.EventRepeated, alerts.EventExhausted, alerts.EventHeld, alerts.EventContinued, alerts.EventJoined, "unknown"}
		for range 200 {
			s.now = s.now.Add(time.Duration(r.IntN(10)) * time.Minute)
			s.open["day"], s.muted = r.IntN(2) == 0, r.IntN(3) == 0
			if r.IntN(3) == 0 {
				before := s.i.Cycle
				s.i.Apply(&alerts.Event{Kind: kinds[r.IntN(len(kinds))], Alert: alerts.Key(fmt.Sprint(r.IntN(5))), Severity: "critical",
					Escalated: &alerts.Escalated{Cycle: r.IntN(4), Level: r.IntN(5) - 1}}, s.now)
				if s.i.Cycle < before || s.i.Level > len(s.i.Policy.Levels) || len(s.i.Joined) > 0 && s.i.Status != alerts.Taken {
					t.Fatalf("seed %d: %+v", seed, s.i)
				}
			}
			n, closed := len(s.told), s.i.Status == alerts.Closed
			s.step()
			for _, line := range s.told[n:] {
				if closed || s.muted && !strings.Contains(line, string(alerts.EventHeld)) && !strings.Contains(line, string(alerts.EventAckExpired)) {
					t.Fatalf("seed %d: %q, closed %v, muted %v", seed, line, closed, s.muted)
				}
			}
		}
	}
}
