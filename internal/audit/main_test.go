package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/topology"
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

// unrecorded are the events that were logged whole, with the reason.
func (l *lines) unrecorded(t *testing.T) (events []Event, reasons []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		var x struct{ Level, Reason, Event string }
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if x.Event == "" {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(x.Event), &e); err != nil || x.Level != "ERROR" {
			t.Fatalf("%s: %v", line, err)
		}
		events, reasons = append(events, e), append(reasons, x.Reason)
	}
	return events, reasons
}

func (l *lines) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), part)
}

// rig is a Log with what can be seen of it.
type rig struct {
	*Log
	lines   *lines
	metrics *Metrics
}

func newRig(t *testing.T, process string) *rig {
	t.Helper()
	r := &rig{lines: &lines{}, metrics: NewMetrics(prometheus.NewPedanticRegistry())}
	r.Log = New(Options{Config: DefaultConfig(), Process: process, Metrics: r.metrics, Logger: slog.New(slog.NewJSONHandler(r.lines, nil))})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = r.Stop(ctx) // told by the tests that care
	})
	return r
}

func (r *rig) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) lost(reason string) int {
	return int(testutil.ToFloat64(r.metrics.unrecorded.WithLabelValues(reason)))
}

// serve starts an embedded server and opens a queue on it.
func serve(t *testing.T) (*embedded.Server, *jetstream.Queue) {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 256 << 20, Listen: "127.0.0.1:0"})
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

// record records n events by a Log of its own, and waits until they are stored.
func record(t *testing.T, q Queue, process string, n int) {
	t.Helper()
	r := newRig(t, process)
	r.Start(q)
	for range n {
		r.Record(Event{Action: "redrive", Outcome: Done, Subject: "key:ops"})
	}
	r.stop(t)
	if events, reasons := r.lines.unrecorded(t); len(events) > 0 {
		t.Fatalf("%d events were not recorded: %v", len(events), reasons)
	}
}

func verify(t *testing.T, q Queue, kept *Head) Report {
	t.Helper()
	r, err := Verify(t.Context(), q, kept, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// whole wants a chain without a break, of so many entries.
func whole(t *testing.T, q Queue, entries int) Report {
	t.Helper()
	r := verify(t, q, nil)
	if !r.OK || len(r.Breaks) > 0 || entries >= 0 && r.Entries != uint64(entries) {
		t.Fatalf("report is %+v, want %d entries", r, entries)
	}
	return r
}

// all reads the stored bodies in order.
func all(t *testing.T, q Queue) (bodies [][]byte) {
	t.Helper()
	st, err := q.StreamState(t.Context(), topology.Audit)
	if err != nil {
		t.Fatal(err)
	}
	for seq := st.FirstSeq; seq <= st.LastSeq; seq++ {
		m, _, err := q.Get(t.Context(), topology.Audit, seq)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, bytes.Clone(m.Body))
	}
	return bodies
}
