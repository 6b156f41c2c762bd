package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/gateway/committer"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup is what a test changes of a door.
type setup struct {
	limits      Limits
	grpc        GRPCConfig
	http        HTTPConfig
	batch       committer.Config
	codec       string
	streamBytes int64
	maxMessage  int
	tls         *tls.Config
	patience    time.Duration
	door        Door
	cutAtStop   bool // the test leaves calls that never end
}

// door is both servers over a committer and the memory queue.
type door struct {
	*Intake
	g   *GRPC
	h   *HTTP
	q   *memory.Queue
	pub *heldQueue
	reg *prometheus.Registry
}

var streams = [otlp.NumSignals][]string{{"T"}, {"M"}, {"L"}}

func open(t testing.TB, change ...func(*setup)) *door {
	t.Helper()
	s := setup{limits: DefaultLimits(), grpc: DefaultGRPC(), http: DefaultHTTP(), batch: committer.DefaultConfig(),
		codec: codec.S2, streamBytes: 1 << 30, maxMessage: 8 << 20, patience: gatePatience}
	s.grpc.Listen, s.http.Listen = "127.0.0.1:0", "127.0.0.1:0"
	for _, c := range change {
		c(&s)
	}
	d := &door{q: memory.New(memory.WithMaxMessageBytes(s.maxMessage)), reg: prometheus.NewPedanticRegistry()}
	for _, names := range streams {
		if err := d.q.EnsureStream(t.Context(), queue.StreamConfig{Name: names[0], MaxBytes: s.streamBytes}); err != nil {
			t.Fatal(err)
		}
	}
	policy, err := codec.NewPolicy(s.codec, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.pub = &heldQueue{Publisher: d.q, arrived: make(chan struct{}, 1<<16)}
	commits := committer.New(committer.Options{Config: s.batch, Queue: d.pub, Streams: streams, Compression: policy, Metrics: committer.NewMetrics(prometheus.NewRegistry())})
	log := slog.New(slog.DiscardHandler)
	d.Intake = NewIntake(s.limits, commits, NewMetrics(d.reg), log)
	d.Intake.Door = s.door
	if d.g, err = newGRPC(t.Context(), s.grpc, d.Intake, s.tls.Clone(), s.patience); err != nil {
		t.Fatal(err)
	}
	if d.h, err = newHTTP(t.Context(), s.http, d.Intake, s.tls.Clone(), log, s.patience); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 2)
	go func() { served <- d.g.Serve() }()
	go func() { served <- d.h.Serve() }()
	t.Cleanup(func() {
		bound := 10 * time.Second
		if s.cutAtStop {
			bound = 10 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := errors.Join(d.g.Stop(ctx), d.h.Stop(ctx)); err != nil && !s.cutAtStop {
			t.Error(err)
		}
		if err := errors.Join(<-served, <-served); err != nil {
			t.Error(err)
		}
		stopping, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(commits.Stop(stopping), d.q.Close()); err != nil {
			t.Error(err)
		}
		d.Intake.Close()
		d.givenBack(t)
		problems, err := testutil.GatherAndLint(d.reg)
		if err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v %v", problems, err)
		}
	})
	return d
}

// givenBack asserts that nothing of the budget, no place in the line and no buffer is
// left over.
func (d *door) givenBack(t testing.TB) {
	t.Helper()
	eventually(t, "the budget is given back", func() bool { return d.InFlightBytes() == 0 })
	eventually(t, "the line of the suspects is empty", func() bool { return d.suspects.waiting.Load() == 0 })
	eventually(t, "HTTP buffers are given back", func() bool {
		runtime.GC() // those of large bodies count until then
		return d.h.pool.InUse() == 0
	})
	eventually(t, "gRPC buffers are given back", func() bool {
		runtime.GC() // what gRPC drops of cut streams counts until then
		return d.g.pool.InUse() < 256<<10
	})
}

// heldQueue is a queue whose publishes can be held back or failed.
type heldQueue struct {
	queue.Publisher
	arrived chan struct{} // one for each publish that came

	mu   sync.Mutex
	shut chan struct{}
	fail error
}

func (q *heldQueue) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	q.mu.Lock()
	shut, fail := q.shut, q.fail
	q.mu.Unlock()
	q.arrived <- struct{}{}
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			return queue.Receipt{}, errors.Join(queue.ErrUnavailable, ctx.Err())
		}
	}
	if fail != nil {
		return queue.Receipt{}, fail
	}
	return q.Publisher.Publish(ctx, stream, m)
}

// hold makes publishes wait until release, which may be called again.
func (q *heldQueue) hold() (release func()) {
	shut := make(chan struct{})
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shut = shut
	return sync.OnceFunc(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.shut = nil
		close(shut)
	})
}

func (q *heldQueue) failWith(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = err
}

// stored is what the queue holds of a signal, decoded and joined.
func (d *door) stored(t testing.TB, s otlp.Signal) (payload []byte, items int) {
	t.Helper()
	state, err := d.q.StreamState(t.Context(), streams[s][0])
	if err != nil {
		t.Fatal(err)
	}
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, _, err := d.q.Get(t.Context(), streams[s][0], seq)
		if err != nil {
			t.Fatal(err)
		}
		r, err := record.Decode(m)
		if err != nil {
			t.Fatal(err)
		}
		if r.Signal != s {
			t.Fatalf("a record of %s is on the stream of %s", r.Signal, s)
		}
		if payload, err = codec.Decode(payload, r.Codec, r.Body, r.RawBytes); err != nil {
			t.Fatal(err)
		}
		items += r.Items
	}
	return payload, items
}

// request is a request of n items.
func request(s otlp.Signal, n int) []byte {
	return sample.New(uint64(n), sample.Shape{Resources: 3}).Append(nil, s, n, time.Unix(1_800_000_000, 0))
}

// count is the value of a counter.
func (d *door) count(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "penstock_receiver_"+name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue metrics
				}
			}
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}

func short(d time.Duration) config.Duration { return config.Duration(d) }

func listens(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	return c.Close() == nil
}
