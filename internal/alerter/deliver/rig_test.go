package deliver_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/deliver"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
)

var errRefused = errors.New("400: the receiver refuses it")

// world is what all replicas of a test have in common: the groups as they are, the
// receivers, the log. The store of claims is each test's own.
type world struct {
	t   *testing.T
	log *alertstest.Log

	mu     sync.Mutex
	groups map[string][]alerts.Alert                        // mu
	answer func(context.Context, alerts.Notification) error // mu; nil: it takes everything
	took   []alerts.Notification                            // mu
	repeat time.Duration
	told   *alerts.Told // mu
}

func newWorld(t *testing.T) *world {
	return &world{t: t, log: alertstest.NewLog(), groups: map[string][]alerts.Alert{}, repeat: 4 * time.Hour}
}

func (w *world) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// fires makes the only alert of a group fire, resolves end it.
func (w *world) fires(group string, severity alerts.Severity) {
	l := alerts.LabelsOf(alerts.Label{Name: "alertname", Value: group}, alerts.Label{Name: "severity", Value: string(severity)})
	w.do(func() { w.groups[group] = []alerts.Alert{{Key: alerts.KeyOf("", l), Labels: l, FiredAt: time.Now()}} })
}

func (w *world) resolves(group string) {
	w.do(func() {
		a := slices.Clone(w.groups[group])
		for i := range a {
			a[i].ResolvedAt = time.Now()
		}
		w.groups[group] = a
	})
}

// joins adds an alert to a group.
func (w *world) joins(group string) {
	w.do(func() {
		a := slices.Clone(w.groups[group])
		more := a[0]
		more.Key = "ff" + more.Key[2:]
		w.groups[group] = append(a, more)
	})
}

func (w *world) group(_ context.Context, k alerts.ClaimKey) (alerts.Notification, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.groups[k.Group]
	return alerts.Notification{ClaimKey: k, Alerts: a, Repeat: w.repeat, SendResolved: true, Told: w.told}, ok
}

func (w *world) send(ctx context.Context, n alerts.Notification) ([]byte, error) {
	w.mu.Lock()
	answer := w.answer
	w.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, n); err != nil {
			return nil, err
		}
	}
	w.do(func() { w.took = append(w.took, n) })
	return []byte("thread"), nil
}

// answers sets what receivers do.
func (w *world) answers(f func(context.Context, alerts.Notification) error) {
	w.do(func() { w.answer = f })
}

func (w *world) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.took)
}

// once checks that each of the groups was told, of its beginning and of its end, so
// many times at most beyond once.
func (w *world) once(groups []string, more int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	type end struct {
		group string
		ended bool
	}
	count := map[end]int{}
	for _, n := range w.took {
		count[end{n.Group, !n.Alerts[0].ResolvedAt.IsZero()}]++
	}
	extra := 0
	for _, g := range groups {
		for _, ended := range []bool{false, true} {
			c := count[end{g, ended}]
			if c == 0 {
				w.t.Errorf("%s, ended %t: was not told", g, ended)
			}
			extra += max(0, c-1)
		}
	}
	if extra > more || len(count) != 2*len(groups) {
		w.t.Errorf("%d notifications of %d groups: %d too many, want at most %d", len(w.took), len(groups), extra, more)
	}
}

// kinds are the events of a group, in order.
func (w *world) kinds(group string) (list []alerts.Kind) {
	for _, e := range w.log.Events() {
		if e.Notified != nil && e.Notified.Group == group {
			list = append(list, e.Kind)
		}
	}
	return list
}

// replica is one deliverer, with its own fold of the log.
type replica struct {
	*deliver.Deliverer
	w     *world
	reg   *prometheus.Registry
	state *alerts.State
	end   func()
}

// start makes a replica of a rank.
func (w *world) start(claims alerts.Claims, rank int) *replica {
	r := &replica{w: w, reg: prometheus.NewRegistry(), state: alerts.NewState()}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		if err := w.log.Follow(ctx, 0, func(e alerts.Entry) error { r.state.Apply(e); return nil }); err != nil {
			w.t.Error(err)
		}
	})
	r.Deliverer = deliver.New(deliver.Options{
		Claims: claims, Log: w.log, State: r.state, Group: w.group, Send: w.send,
		Final:    func(err error) bool { return errors.Is(err, errRefused) },
		Rank:     func() int { return rank },
		FailOpen: "critical", Metrics: deliver.NewMetrics(r.reg), Logger: slog.New(slog.DiscardHandler),
	})
	r.end = sync.OnceFunc(func() {
		stopping, done := context.WithTimeout(context.Background(), time.Minute)
		defer done()
		if err := r.Stop(stopping); err != nil {
			w.t.Error(err)
		}
		cancel()
		following.Wait()
	})
	return r
}

func key(group string) alerts.ClaimKey {
	return alerts.ClaimKey{Group: group, Receiver: "ops/webhook/0"}
}

func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("G%03d", i))
	}
	return list
}

// metric is the sum over the labels.
func (r *replica) metric(name string) (sum float64) {
	families, err := r.reg.Gather()
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "penstock_alerter_"+name {
			for _, m := range f.GetMetric() {
				sum += cmp.Or(m.GetCounter().GetValue(), m.GetGauge().GetValue())
			}
		}
	}
	return sum
}
