package alerter

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/deliver"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
	"github.com/penstock-otel/penstock/pkg/alerts/memory"
)

// ladder are replicas that escalate, over one log and one store, in the bubble's time.
type ladder struct {
	t      *testing.T
	log    *alertstest.Log
	store  *memory.Store
	policy alerts.Policy
	began  time.Time
	state  *alerts.State // of the first replica that lives
	ends   []func()

	mu    sync.Mutex
	heard []string // mu; as "5m0s duty fires"
}

func climb(t *testing.T) *ladder {
	return &ladder{t: t, log: alertstest.NewLog(), store: memory.New(), began: time.Now(), policy: alerts.Policy{
		Name: "p", GroupBy: []string{"alertname"}, Repeat: 1, OnExhausted: []string{"boss"}, Reopen: 5 * time.Minute,
		Levels: []alerts.Level{
			{Targets: []string{"duty"}, While: alerts.Unacked},
			{After: 5 * time.Minute, Targets: []string{"duty", "second"}, While: alerts.Unacked},
			{After: 15 * time.Minute, Targets: []string{"lead"}, While: alerts.Unresolved},
		}}}
}

const ladderConfig = `route: {receiver: duty}
receivers:
- {name: duty, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
- {name: second, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
- {name: lead, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
- {name: boss, webhook_configs: [{url: "http://127.0.0.1:1/", send_resolved: false}]}
`

// replica adds one.
func (l *ladder) replica() (end func()) {
	l.t.Helper()
	path := filepath.Join(l.t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(path, []byte(ladderConfig), 0o600); err != nil {
		l.t.Fatal(err)
	}
	c, err := amnotify.Load(path, &url.URL{Scheme: "http", Host: "alerter.example"})
	if err != nil {
		l.t.Fatal(err)
	}
	quiet, state := slog.New(slog.DiscardHandler), alerts.NewState()
	if l.state == nil {
		l.state = state
	}
	r := NewRouter(RouterOptions{Config: c, State: state, Logger: quiet, Look: func(alerts.ClaimKey) {}})
	d := deliver.New(deliver.Options{Claims: l.store, Log: l.log, State: state, Group: r.Group, Send: l.send,
		Final: func(error) bool { return false }, Rank: func() int { return 0 }, FailOpen: "critical",
		Metrics: deliver.NewMetrics(prometheus.NewRegistry()), Logger: quiet})
	x := NewEscalator(EscalatorOptions{Log: l.log, State: state, Router: r, Leads: func() bool { return true }, Look: d.Look, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.log.Follow(ctx, 0, func(e alerts.Entry) error { state.Apply(e); return nil }); err != nil {
			l.t.Error(err)
		}
	})
	running.Go(func() {
		if err := x.Run(ctx); err != nil {
			l.t.Error(err)
		}
	})
	end = sync.OnceFunc(func() {
		stopping, done := context.WithTimeout(context.Background(), time.Minute)
		defer done()
		if err := d.Stop(stopping); err != nil {
			l.t.Error(err)
		}
		cancel()
		running.Wait()
		x.Close()
		r.Close()
		if l.state == state {
			l.state = nil
		}
	})
	l.ends = append(l.ends, end)
	return end
}

func (l *ladder) end() {
	for _, f := range l.ends {
		f()
	}
}

func (l *ladder) send(_ context.Context, n alerts.Notification) ([]byte, error) {
	what := "fires"
	if !n.Alerts[0].ResolvedAt.IsZero() {
		what = "ends"
	}
	name, _, _ := strings.Cut(n.Receiver, "/")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, fmt.Sprintf("%s %s %s", time.Since(l.began).Round(10*time.Second), name, what))
	return nil, nil
}

// finds lets an evaluation have these alerts.
func (l *ladder) finds(names ...string) {
	l.t.Helper()
	now := time.Now()
	e := alerts.Evaluation{File: "f", Group: "g", At: now, Evaluated: []string{"A", "B"}}
	for _, name := range names {
		rule, severity, _ := strings.Cut(name, " ")
		e.Active = append(e.Active, alerts.Finding{Rule: rule, Firing: true, ActiveAt: now, FiredAt: now,
			Labels: alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "A"}, alerts.Label{Name: "rule", Value: rule}, alerts.Label{Name: "severity", Value: severity})})
	}
	l.do(func() ([]alerts.Event, error) {
		return l.state.Transitions(e, func(string, alerts.Labels) alerts.Policy { return l.policy }, now), nil
	})
}

func (l *ladder) do(decide func() ([]alerts.Event, error)) {
	l.t.Helper()
	at, err := alerts.Do(l.t.Context(), l.log, l.state, decide)
	if err == nil {
		err = l.state.Reached(l.t.Context(), at)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// ack takes the only incident.
func (l *ladder) ack() {
	l.t.Helper()
	l.do(func() ([]alerts.Event, error) {
		return l.state.Ack(l.incident().ID, "ann", "", time.Time{}, time.Now())
	})
}

func (l *ladder) incident() alerts.Incident {
	l.t.Helper()
	list := l.state.Incidents(alerts.Filter{})
	if len(list) != 1 {
		l.t.Fatalf("%d incidents, want 1", len(list))
	}
	return list[0]
}

func (l *ladder) want(want ...string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := slices.Clone(l.heard)
	// Of one moment the order is nobody's.
	slices.SortStableFunc(got, func(a, b string) int { return cmpTime(a, b) })
	if !slices.Equal(got, want) {
		l.t.Errorf("heard\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func cmpTime(a, b string) int {
	at := func(s string) time.Duration {
		d, err := time.ParseDuration(strings.Fields(s)[0])
		if err != nil {
			panic("BUG: " + err.Error())
		}
		return d
	}
	if x, y := at(a), at(b); x != y {
		return int(x - y)
	}
	return strings.Compare(a, b)
}

// Every level at its time, once of all replicas, twice through, and then the boss;
// the end to all who heard of it and want to.
func TestEveryLevelAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := climb(t)
		defer l.end()
		for range 3 {
			l.replica()
		}
		time.Sleep(time.Second)
		l.finds("A critical")
		time.Sleep(2 * time.Hour)
		l.finds()
		time.Sleep(time.Minute)
		l.want("0s duty fires", "5m0s duty fires", "5m0s second fires", "15m0s lead fires",
			"25m0s duty fires", "30m0s duty fires", "30m0s second fires", "40m0s lead fires",
			"50m0s boss fires",
			"2h0m0s duty ends", "2h0m0s lead ends", "2h0m0s second ends")
	})
}

// An ack stops what is for unacked incidents, and what is not goes on; whoever heard of
// it hears of the end.
func TestAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := climb(t)
		defer l.end()
		l.replica()
		l.replica()
		time.Sleep(time.Second)
		l.finds("A critical")
		time.Sleep(3 * time.Minute)
		l.ack()
		time.Sleep(time.Hour)
		l.finds()
		time.Sleep(time.Minute)
		l.want("0s duty fires", "15m0s lead fires", "1h3m0s duty ends", "1h3m0s lead ends")
	})
}

// An ack that is not followed by anything ends, and the levels begin anew.
func TestAckTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := climb(t)
		l.policy.AckTimeout = 30 * time.Minute
		defer l.end()
		l.replica()
		time.Sleep(time.Second)
		l.finds("A critical")
		time.Sleep(time.Minute)
		l.ack()
		time.Sleep(32 * time.Minute)
		l.finds()
		time.Sleep(time.Minute)
		l.want("0s duty fires", "15m0s lead fires", "31m0s duty fires", "33m0s duty ends", "33m0s lead ends")
	})
}

// Alerts that join an open incident tell nobody by themselves; one that joins a taken
// one is told once to those who heard of it.
func TestJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := climb(t)
		defer l.end()
		l.replica()
		l.replica()
		time.Sleep(time.Second)
		l.finds("A critical")
		time.Sleep(time.Minute)
		l.finds("A critical", "B critical")
		time.Sleep(time.Minute)
		l.want("0s duty fires")
		l.ack()
		time.Sleep(time.Minute)
		l.finds("A critical")
		time.Sleep(time.Minute)
		l.finds("A critical", "B critical")
		time.Sleep(time.Minute)
		l.want("0s duty fires", "4m0s duty fires")
	})
}

// A worse severity of a taken incident begins the levels anew.
func TestSeverityRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := climb(t)
		defer l.end()
		l.replica()
		time.Sleep(time.Second)
		l.finds("A warning")
		time.Sleep(time.Minute)
		l.ack()
		time.Sleep(time.Minute)
		l.finds("A warning", "B critical")
		time.Sleep(6 * time.Minute)
		l.want("0s duty fires", "2m0s duty fires", "7m0s duty fires", "7m0s second fires")
	})
}

// All replicas die in the middle, and what the store knew is gone with them: those that
// begin go on where they were, and nobody hears anything twice.
func TestCrashAndWipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := climb(t)
		defer l.end()
		end := l.replica()
		time.Sleep(time.Second)
		l.finds("A critical")
		time.Sleep(6 * time.Minute)
		end()
		l.store = memory.New()
		time.Sleep(4 * time.Minute)
		l.replica()
		l.replica()
		time.Sleep(10 * time.Minute)
		l.want("0s duty fires", "5m0s duty fires", "5m0s second fires", "15m0s lead fires")
		l.finds()
		time.Sleep(time.Minute)
		l.want("0s duty fires", "5m0s duty fires", "5m0s second fires", "15m0s lead fires",
			"20m0s duty ends", "20m0s lead ends", "20m0s second ends")
	})
}
