package alerter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
)

const rulesText = `groups:
- name: g
  interval: 15s
  rules:
  - alert: Hot
    expr: temperature > 30
    for: 1m
    labels: {severity: critical}
  - alert: Gone
    expr: absent(temperature)
    for: 2m
`

// noon is a full hour, near the time at which the log stores: what is far behind that
// lets nothing fire.
var noon = time.Now().UTC().Truncate(time.Hour)

// story is a replica whose stream and clock the test is.
type story struct {
	t       *testing.T
	log     *alertstest.Log
	state   *alerts.State
	engines *Engines
	v       *Evaluator
	teller  *Teller
	now     time.Time // W
	leads   bool
	reg     *prometheus.Registry
	end     func()
}

// tell begins one that has read since from and tells of what is since since.
func tell(t *testing.T, log *alertstest.Log, from, since time.Time, rules ...string) *story {
	t.Helper()
	s := &story{t: t, log: log, state: alerts.NewState(), now: from, leads: true, reg: prometheus.NewRegistry()}
	m, quiet := NewMetrics(s.reg), slog.New(slog.DiscardHandler)
	if len(rules) == 0 {
		rules = []string{rulesText}
	}
	var err error
	s.engines, err = NewEngines(EngineOptions{Options: promrules.Options{Dir: t.TempDir()}, From: from, Metrics: m, Logger: quiet}, files(t, rules...))
	if err != nil {
		t.Fatal(err)
	}
	s.teller = NewTeller(TellerOptions{Log: log, State: s.state, Leads: func() bool { return s.leads }, Metrics: m, Logger: quiet,
		PolicyOf: func(string, alerts.Labels) alerts.Policy { return alerts.Policy{} }})
	s.v = NewEvaluator(EvaluatorOptions{Engines: s.engines, Watermark: func() time.Time { return s.now }, Offset: 5 * time.Second, Since: since, Tell: s.teller.Tell, Metrics: m, Logger: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		if err := log.Follow(ctx, 0, func(e alerts.Entry) error { s.state.Apply(e); return nil }); err != nil {
			t.Error(err)
		}
	})
	s.end = sync.OnceFunc(func() {
		cancel()
		following.Wait()
		s.teller.Close()
		if err := s.engines.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.end)
	return s
}

func files(t *testing.T, texts ...string) (list []*promrules.File) {
	t.Helper()
	for i, text := range texts {
		f, err := promrules.Parse(fmt.Sprintf("rules%d.yaml", i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// sample is a request with one value of the gauge temperature.
func sample(value float64, at time.Time) []byte {
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("temperature")
	p := m.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetDoubleValue(value)
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	b, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}

// goesOn appends a value each 15 seconds up to a time, and evaluates after each when
// it keeps up.
func (s *story) goesOn(until time.Time, value float64, keepsUp bool) {
	s.t.Helper()
	for at := s.now.Add(15 * time.Second); !at.After(until); at = at.Add(15 * time.Second) {
		if err := s.engines.Append(s.t.Context(), "", sample(value, at), at); err != nil {
			s.t.Fatal(err)
		}
		if keepsUp {
			s.passes(at)
		}
	}
}

// passes lets the watermark be at a time.
func (s *story) passes(at time.Time) {
	s.t.Helper()
	s.now = at
	if err := s.v.Catch(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// events are what the log has of alerts, as "fired Hot +1m15s" since noon.
func events(log *alertstest.Log) (list []string) {
	for _, e := range log.Events() {
		switch e.Kind {
		case alerts.EventFired:
			list = append(list, fmt.Sprintf("fired %s %s active %s", e.Fired.Rule, e.Fired.FiredAt.Sub(noon).Round(15*time.Second), e.Fired.ActiveAt.Sub(noon).Round(15*time.Second)))
		case alerts.EventResolved:
			list = append(list, strings.TrimSpace(fmt.Sprintf("resolved %s %s", e.Watermark.Sub(noon).Round(15*time.Second), e.Reason)))
		}
	}
	return list
}

func (s *story) want(want ...string) {
	s.t.Helper()
	if got := events(s.log); !slices.Equal(got, want) {
		s.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func at(d time.Duration) time.Time { return noon.Add(d) }

// An alert fires when its condition has held for long enough, and resolves when it
// does not hold.
func TestAnAlertFiresAndResolves(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute))
	s.goesOn(at(0), 20, true)
	s.goesOn(at(3*time.Minute), 40, true)
	s.goesOn(at(5*time.Minute), 20, true)
	s.want("fired Hot 1m15s active 15s", "resolved 3m15s")
}

// Half an hour of backlog, taken at once: the same as if it had never been behind.
func TestBacklog(t *testing.T) {
	f := func(keepsUp bool) []string {
		s := tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute))
		s.goesOn(at(0), 20, true)
		until := func(d time.Duration, value float64) {
			for end := at(d); s.now.Before(end); {
				next := s.now.Add(5 * time.Minute)
				s.goesOn(next, value, keepsUp)
				s.passes(next)
			}
		}
		until(10*time.Minute, 40)
		until(20*time.Minute, 20)
		until(25*time.Minute, 40)
		until(30*time.Minute, 20)
		return events(s.log)
	}
	live, late := f(true), f(false)
	if len(live) != 4 || !slices.Equal(live, late) {
		t.Errorf("live\n\t%s\nlate\n\t%s", strings.Join(live, "\n\t"), strings.Join(late, "\n\t"))
	}
}

// A replica that begins in the middle of a holding time finds the same start, and
// says nothing of the time before it.
func TestRestartWhileItHolds(t *testing.T) {
	log := alertstest.NewLog()
	first := tell(t, log, at(-time.Minute), at(-time.Minute))
	first.goesOn(at(0), 20, true)
	first.goesOn(at(45*time.Second), 40, true)
	first.end()
	second := tell(t, log, at(-10*time.Minute), at(time.Minute))
	second.goesOn(at(0), 20, false)
	second.now = at(0)
	second.goesOn(at(2*time.Minute), 40, true)
	second.want("fired Hot 1m15s active 15s")
	second.end()
	// One that begins while it fires says nothing new, and sees the end.
	third := tell(t, log, at(-10*time.Minute), at(3*time.Minute))
	third.goesOn(at(0), 20, false)
	third.now = at(0)
	third.goesOn(at(4*time.Minute), 40, true)
	third.want("fired Hot 1m15s active 15s")
	third.goesOn(at(5*time.Minute), 20, true)
	third.want("fired Hot 1m15s active 15s", "resolved 4m15s")
}

// One of two tells; when it stops the other goes on.
func TestOneTells(t *testing.T) {
	log := alertstest.NewLog()
	a, b := tell(t, log, at(-time.Minute), at(-time.Minute)), tell(t, log, at(-time.Minute), at(-time.Minute))
	b.leads = false
	both := func(d time.Duration, value float64) {
		for end := at(d); a.now.Before(end); {
			next := a.now.Add(15 * time.Second)
			a.goesOn(next, value, true)
			b.goesOn(next, value, true)
		}
	}
	both(0, 20)
	both(2*time.Minute, 40)
	a.leads, b.leads = false, true
	both(3*time.Minute, 40)
	a.leads = true // both believe to lead
	both(4*time.Minute, 20)
	a.want("fired Hot 1m15s active 15s", "resolved 3m15s")
}

// What stops coming is no end: only a rule on that says so.
func TestSilence(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute))
	s.goesOn(at(0), 20, true)
	for d := 15 * time.Second; d <= 9*time.Minute; d += 15 * time.Second {
		s.passes(at(d))
	}
	s.want("fired Gone 7m0s active 5m0s")
}

// Alerts of rules that are gone are resolved, with that as the reason; those of rules
// that stay go on.
func TestRulesAreReplaced(t *testing.T) {
	other := strings.NewReplacer("name: g", "name: h", "Hot", "Warm").Replace(rulesText)
	s := tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute), rulesText, other)
	s.goesOn(at(0), 20, true)
	s.goesOn(at(2*time.Minute), 40, true)
	if err := s.engines.Load(files(t, rulesText)); err != nil {
		t.Fatal(err)
	}
	if err := s.teller.Gone(t.Context(), s.engines.Has, s.now); err != nil {
		t.Fatal(err)
	}
	s.goesOn(at(3*time.Minute), 40, true)
	s.want("fired Hot 1m15s active 15s", "fired Warm 1m30s active 30s", "resolved 2m0s rule_deleted")
	if err := s.engines.Load(nil); err != nil {
		t.Fatal(err)
	}
	if err := s.teller.Gone(t.Context(), s.engines.Has, s.now); err != nil {
		t.Fatal(err)
	}
	for changed := s.state.Changed(); len(s.state.Sources()) > 0; changed = s.state.Changed() {
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatal("groups of rules still have an alert")
		}
	}
}

// More than an hour behind slots are passed over and counted, and nothing resolves
// by it.
func TestTooLate(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute))
	s.goesOn(at(0), 20, true)
	s.goesOn(at(2*time.Minute), 40, true)
	s.passes(at(3 * time.Hour)) // nothing came, or nothing was evaluated
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	missed := -1.0
	for _, f := range families {
		if f.GetName() == "penstock_alerter_missed_slots_total" {
			missed = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if missed < 460 || missed > 480 { // 2 hours less 2 min of 15 s
		t.Errorf("%v slots are counted as missed", missed)
	}
	if got := events(s.log); len(got) < 2 || got[0] != "fired Hot 1m15s active 15s" || !strings.HasPrefix(got[1], "resolved 2h") {
		t.Errorf("got %v: want the end by the first slot that was evaluated again", got)
	}
}

// What is appended waits for what is evaluated, as results of rules would be refused
// else; an evaluator that goes on lets it go on.
func TestAppendWaits(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(0), at(0))
	ctx, cancel := context.WithCancel(t.Context())
	late := at(0).Add(lead + time.Minute)
	cancel()
	if err := s.engines.Append(ctx, "", sample(20, late), late); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to wait", err)
	}
	waits := make(chan error, 1)
	go func() { waits <- s.engines.Append(t.Context(), "", sample(20, late), late) }()
	s.passes(at(0).Add(5 * time.Minute))
	if err := <-waits; err != nil {
		t.Error(err)
	}
}

// Bad requests and tenants beyond the bound are refused for good; others are taken.
func TestRefusals(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(0), at(0))
	if err := s.engines.Append(t.Context(), "", []byte{0xff}, at(0)); !errors.Is(err, intake.ErrRefused) {
		t.Errorf("got %v", err)
	}
	for i := 1; i < maxTenants; i++ {
		if err := s.engines.Append(t.Context(), fmt.Sprint(i), sample(20, at(0)), at(0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.engines.Append(t.Context(), "one more", sample(20, at(0)), at(0)); !errors.Is(err, intake.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if err := s.engines.Append(t.Context(), "", sample(20, at(0)), at(0)); err != nil {
		t.Error(err)
	}
}

func TestWants(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(0), at(0))
	wants := s.engines.Wants("any")
	f := func(name string, kind otlp.MetricKind, want bool) {
		t.Helper()
		if got := wants(otlp.MetricHead{Name: []byte(name), Kind: kind}); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	f("temperature", otlp.Gauge, true)
	f("humidity", otlp.Gauge, false)
	f("temperature", otlp.NoData, false)
}

// A log that is away or full for a while: the next slot says what was not said.
func TestLogAway(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute))
	s.goesOn(at(0), 20, true)
	s.log.Fail(alerts.ErrFull, alerts.ErrFull)
	s.goesOn(at(2*time.Minute), 40, true)
	s.want("fired Hot 1m15s active 15s")
}

// Tenants have alerts of their own.
func TestTenants(t *testing.T) {
	s := tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute))
	for d := time.Duration(0); d <= 3*time.Minute; d += 15 * time.Second {
		for i, tenant := range []string{"blue", "green"} {
			if err := s.engines.Append(t.Context(), tenant, sample(float64(20+20*i), at(d)), at(d)); err != nil {
				t.Fatal(err)
			}
		}
		s.passes(at(d))
	}
	var got []string
	for _, e := range s.log.Events() {
		if e.Kind == alerts.EventFired {
			got = append(got, e.Tenant+" "+e.Fired.Rule)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{" Gone", "green Hot"}) { // the nameless one has no data
		t.Errorf("got %v", got)
	}
}
