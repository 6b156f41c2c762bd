package journal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURL) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), part)
}

// replica is a journal with the state that follows it, as an alerter has it.
type replica struct {
	*Journal
	t       testing.TB
	state   *alerts.State
	lines   *lines
	metrics *Metrics
	stop    func()

	mu    sync.Mutex // guards what follows
	given []alerts.Entry
}

// newReplica makes one that does not follow yet.
func newReplica(t testing.TB, q Queue) *replica {
	t.Helper()
	r := &replica{t: t, state: alerts.NewState(), lines: &lines{}, metrics: NewMetrics(prometheus.NewPedanticRegistry()), stop: func() {}}
	r.Journal = New(q, Options{Config: alerting.DefaultHistory(), State: r.state, Metrics: r.metrics, Logger: slog.New(slog.NewTextHandler(r.lines, nil))})
	return r
}

// follow lets the state follow until the test ends, or stop.
func (r *replica) follow() *replica {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := r.Follow(ctx, r.state.At(), func(e alerts.Entry) error {
			r.mu.Lock()
			r.given = append(r.given, e)
			r.mu.Unlock()
			r.state.Apply(e)
			return nil
		})
		if err != nil {
			r.t.Error(err)
		}
	})
	r.stop = func() { cancel(); wg.Wait() }
	r.t.Cleanup(r.stop)
	return r
}

func (r *replica) entries() []alerts.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]alerts.Entry(nil), r.given...)
}

// until waits for something of the state.
func (r *replica) until(what string, f func() bool) {
	r.t.Helper()
	late := time.After(time.Minute)
	for {
		changed := r.state.Changed()
		if f() {
			return
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("%s: it does not come; at %d, caught up: %v", what, r.state.At(), r.state.CaughtUp())
		}
	}
}

func (r *replica) reaches(at uint64) {
	r.t.Helper()
	r.until(fmt.Sprintf("position %d", at), func() bool { return r.state.At() >= at && r.state.CaughtUp() })
}

// fires lets n alerts of a name fire, each an incident, with text.
func (r *replica) fires(name string, n int, text string) {
	r.t.Helper()
	e := alerts.Evaluation{Tenant: "blue", File: "f", Group: name, At: time.Now(), Evaluated: []string{name}}
	for i := range n {
		e.Active = append(e.Active, alerts.Finding{Rule: name, Firing: true, Annotations: alerts.LabelsOf(alerts.Label{Name: "text", Value: text}),
			Labels: alerts.LabelsOf(alerts.Label{Name: "alertname", Value: name}, alerts.Label{Name: "n", Value: fmt.Sprint(i)})})
	}
	r.do(func() ([]alerts.Event, error) {
		return r.state.Transitions(e, func(string, alerts.Labels) alerts.Policy {
			return alerts.Policy{Name: "p", GroupBy: []string{"..."}}
		}, time.Now()), nil
	})
}

// do appends, and waits until it is in the state.
func (r *replica) do(decide func() ([]alerts.Event, error)) uint64 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	at, err := alerts.Do(ctx, r, r.state, decide)
	if err == nil {
		err = r.state.Reached(ctx, at)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return at
}

// ticks appends n entries that say nothing.
func (r *replica) ticks(n int) {
	r.t.Helper()
	for range n {
		r.do(func() ([]alerts.Event, error) { return []alerts.Event{{Kind: "tick"}}, nil })
	}
}

func (r *replica) tidy(every uint64) *Tidier {
	r.t.Helper()
	t := r.Tidier()
	t.every = every
	if err := t.tidy(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return t
}

func (r *replica) firing() int {
	return len(r.state.Alerts(alerts.Filter{States: []string{alerts.Firing}}))
}

func (r *replica) counts(want map[string]float64) {
	r.t.Helper()
	m := r.metrics
	for name, c := range map[string]prometheus.Counter{"entries": m.entries, "conflicts": m.conflicts, "unreadable": m.unreadable, "gaps": m.gaps, "anew": m.anew, "snapshots": m.snapshots,
		"full": m.failures.WithLabelValues(reasonFull), "unavailable": m.failures.WithLabelValues(reasonUnavailable), "too_large": m.failures.WithLabelValues(reasonTooLarge),
		"age": m.purged.WithLabelValues(reasonAge), "space": m.purged.WithLabelValues(reasonSpace)} {
		if n, ok := want[name]; ok && testutil.ToFloat64(c) != n {
			r.t.Errorf("%s are %v, want %v", name, testutil.ToFloat64(c), n)
		}
	}
}

func streamState(t testing.TB, q queue.Provisioner) queue.StreamState {
	t.Helper()
	st, err := q.StreamState(context.Background(), topology.Alerts)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// serve starts an embedded server and opens a queue on it.
func serve(t *testing.T) (*embedded.Server, *jetstream.Queue) {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 512 << 20, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, open(t, jetstream.Config{Conn: s, Durability: jetstream.Process})
}

func open(t *testing.T, c jetstream.Config) *jetstream.Queue {
	t.Helper()
	q, err := jetstream.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() }) // always nil
	return q
}
