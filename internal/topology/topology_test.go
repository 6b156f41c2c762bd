package topology_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realQueue is on a server of so many bytes.
func realQueue(t *testing.T, bytes int64) queue.Queue {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: bytes})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	t.Cleanup(func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return q
}

func plan() topology.Plan {
	return topology.Plan{Shards: 2, MaxBytes: 100 << 20, AckWait: 7 * time.Second, MaxAckPending: 9, Destinations: []topology.Destination{
		{Name: "all"}, {Name: "some", Signals: []otlp.Signal{otlp.Logs, otlp.Traces}},
	}}
}

func TestNames(t *testing.T) {
	if got, want := plan().AllStreams(), []string{"PENSTOCK_TRACES_0", "PENSTOCK_TRACES_1", "PENSTOCK_METRICS_0", "PENSTOCK_METRICS_1",
		"PENSTOCK_LOGS_0", "PENSTOCK_LOGS_1", "PENSTOCK_DLQ"}; !slices.Equal(got, want) {
		t.Errorf("streams are %v, want %v", got, want)
	}
	if got := topology.Durable("a-b"); got != "export-a-b" {
		t.Errorf("durable is %s", got)
	}
	if !topology.IsDurable(topology.Durable("a")) || topology.IsDurable("alerter") {
		t.Error("durables are not told from other consumers")
	}
	if got := jetstream.Subject(topology.Stream(otlp.Metrics, 12)); got != "penstock.metrics.12" {
		t.Errorf("subject is %s", got)
	}
}

func TestTakes(t *testing.T) {
	d := topology.Destination{Signals: []otlp.Signal{otlp.Logs}}
	if !d.Takes(otlp.Logs) || d.Takes(otlp.Traces) || d.Takes(otlp.Metrics) {
		t.Error("a destination of logs takes something else")
	}
	for _, s := range otlp.Signals {
		if !(topology.Destination{}).Takes(s) {
			t.Errorf("a destination that says nothing does not take %s", s)
		}
	}
}

// want fails unless the queue is what plan says, by both kinds of budget.
func want(t *testing.T, q queue.Provisioner) {
	t.Helper()
	for _, s := range otlp.Signals {
		for _, name := range plan().Streams(s) {
			consumers := []string{"export-all", "export-some"}
			if s == otlp.Metrics {
				consumers = consumers[:1]
			}
			st, err := q.StreamState(t.Context(), name)
			if err != nil || st.MaxBytes != 15<<20 || !slices.Equal(st.Consumers, consumers) {
				t.Errorf("%s: %+v, %v; want %d bytes and consumers %v", name, st, err, 15<<20, consumers)
			}
		}
	}
	st, err := q.StreamState(t.Context(), topology.DeadLetters)
	if err != nil || st.MaxBytes != 10<<20 || len(st.Consumers) != 0 {
		t.Errorf("dead letters: %+v, %v", st, err)
	}
}

func TestUntaken(t *testing.T) {
	f := func(p topology.Plan, s otlp.Signal, want bool) {
		t.Helper()
		if got := p.Untaken(s); got != want {
			t.Errorf("%+v leaves %s untaken: %t", p.Destinations, s, got)
		}
	}
	f(topology.Plan{}, otlp.Logs, false) // the workers' are not known
	f(topology.Plan{Destinations: []topology.Destination{{Name: "a"}}}, otlp.Logs, false)
	some := topology.Plan{Destinations: []topology.Destination{{Name: "a", Signals: []otlp.Signal{otlp.Traces}}, {Name: "b", Signals: []otlp.Signal{otlp.Metrics}}}}
	f(some, otlp.Traces, false)
	f(some, otlp.Metrics, false)
	f(some, otlp.Logs, true)
}

func TestApplyIsIdempotent(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t, 100<<20)} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				if err := topology.Apply(t.Context(), q, plan()); err != nil {
					t.Fatal(err)
				}
				want(t, q)
			}
			// What is there stays there.
			if _, err := q.Publish(t.Context(), "PENSTOCK_LOGS_1", &queue.Message{ID: "a", Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			if err := topology.Apply(t.Context(), q, plan()); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				c, err := q.ConsumerState(t.Context(), "PENSTOCK_LOGS_1", "export-some")
				if err == nil && c.Pending == 1 {
					break // known a moment after the publish only
				}
				if err != nil || time.Now().After(end) {
					t.Fatalf("after another Apply: %+v, %v; want the message pending", c, err)
				}
			}
		})
	}
}

// Any role may apply the plan at any time.
func TestApplyFromManySides(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t, 100<<20)} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					if err := topology.Apply(t.Context(), q, plan()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			want(t, q)
		})
	}
}

// provisions tells what a consumer was made or changed to, as the contract has
// no way to ask.
type provisions struct {
	queue.Provisioner
	mu  sync.Mutex
	got map[string]queue.ConsumerConfig
}

func (p *provisions) EnsureConsumer(ctx context.Context, stream string, c queue.ConsumerConfig) error {
	err := p.Provisioner.EnsureConsumer(ctx, stream, c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got[stream+"/"+c.Name] = c
	return err
}

// The settings of a durable are the workers'. A gateway makes it where it is
// missing, and changes none.
func TestGatewaysLeaveDurablesAsTheyAre(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t, 100<<20)} {
		t.Run(name, func(t *testing.T) {
			gateway, worker := plan(), plan()
			gateway.AckWait, gateway.MaxAckPending = 99*time.Second, 99
			worker.AckWait, worker.MaxAckPending = 33*time.Second, 33
			p := &provisions{Provisioner: q, got: map[string]queue.ConsumerConfig{}}
			f := func(by string, apply func(context.Context, queue.Provisioner, topology.Plan) error, with topology.Plan, want int) {
				t.Helper()
				clear(p.got)
				if err := apply(t.Context(), p, with); err != nil {
					t.Fatal(err)
				}
				if len(p.got) != want {
					t.Errorf("%s: %d durables made or changed, want %d", by, len(p.got), want)
				}
				for at, c := range p.got {
					if c.AckWait != with.AckWait || c.MaxAckPending != with.MaxAckPending {
						t.Errorf("%s: %s is %+v", by, at, c)
					}
				}
			}
			f("a gateway alone", topology.Apply, gateway, 10)
			f("its workers", topology.ApplyConsumers, worker, 10)
			f("the gateway once more", topology.Apply, gateway, 0)
			gateway.Destinations = append(gateway.Destinations, topology.Destination{Name: "new", Signals: []otlp.Signal{otlp.Logs}})
			f("the gateway with a new destination", topology.Apply, gateway, 2)
		})
	}
}

// What is accepted before a worker runs is kept for its destination; what lay
// there before a destination was named is delivered to it too.
func TestDurablesStartAtTheOldest(t *testing.T) {
	q := memory.New()
	p := plan()
	p.Destinations = nil
	if err := topology.Apply(t.Context(), q, p); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Publish(t.Context(), "PENSTOCK_TRACES_0", &queue.Message{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := topology.ApplyConsumers(t.Context(), q, plan()); err != nil {
		t.Fatal(err)
	}
	if c, err := q.ConsumerState(t.Context(), "PENSTOCK_TRACES_0", "export-all"); err != nil || c.Pending != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestBudgetIsChecked(t *testing.T) {
	f := func(shards int, bytes int64, want string) {
		t.Helper()
		err := topology.Apply(t.Context(), memory.New(), topology.Plan{Shards: shards, MaxBytes: bytes})
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%d shards, %d bytes:\ngot  %v\nwant %s", shards, bytes, err, want)
		}
	}
	f(0, 1<<40, "queue.shards is 0: want at least 1")
	f(1, 40<<20, "")
	f(1, 40<<20-1, "queue.max_bytes of 41943039 bytes leaves 12582912 for each of 3 streams and 4194303 for dead letters: want at least 4194304 in each, so queue.max_bytes of at least 41943040")
	f(4, 50<<20, "queue.max_bytes of 52428800 bytes leaves 3932160 for each of 12 streams and 5242880 for dead letters: want at least 4194304 in each, so queue.max_bytes of at least 55924054")
	f(4, 55924054, "")
}

func TestNoRoomSaysWhichLimit(t *testing.T) {
	q := realQueue(t, 50<<20)
	err := topology.Apply(t.Context(), q, plan())
	if !errors.Is(err, queue.ErrNoRoom) || !strings.Contains(err.Error(), "make stream PENSTOCK_") ||
		!strings.HasSuffix(err.Error(), "lower queue.max_bytes or give the server a larger store") {
		t.Errorf("got %v", err)
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	q := memory.New()
	if err := topology.ApplyConsumers(t.Context(), q, plan()); !errors.Is(err, queue.ErrNotFound) ||
		!strings.HasPrefix(err.Error(), "make consumer export-all of stream PENSTOCK_TRACES_0: ") {
		t.Errorf("no stream: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := topology.Apply(t.Context(), q, plan()); !errors.Is(err, queue.ErrClosed) || !strings.HasPrefix(err.Error(), "make stream PENSTOCK_TRACES_0: ") {
		t.Errorf("closed: %v", err)
	}
	if err := topology.Apply(t.Context(), noDead{memory.New()}, plan()); err == nil || !strings.HasPrefix(err.Error(), "make stream PENSTOCK_DLQ: ") {
		t.Errorf("no dead letters: %v", err)
	}
}

// Fewer shards than there are streams of leave data behind, which is found.
func TestBeyond(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t, 100<<20)} {
		t.Run(name, func(t *testing.T) {
			if err := topology.Apply(t.Context(), q, plan()); err != nil {
				t.Fatal(err)
			}
			f := func(shards int, want ...string) {
				t.Helper()
				p := plan()
				p.Shards = shards
				if got, err := p.Beyond(t.Context(), q); err != nil || !slices.Equal(got, want) {
					t.Errorf("%d shards: %v, %v; want %v", shards, got, err, want)
				}
			}
			f(3)
			f(2)
			f(1, "PENSTOCK_TRACES_1", "PENSTOCK_METRICS_1", "PENSTOCK_LOGS_1")
		})
	}
	q := memory.New()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := plan().Beyond(t.Context(), q); !errors.Is(err, queue.ErrClosed) || !strings.HasPrefix(err.Error(), "look for stream PENSTOCK_TRACES_2: ") {
		t.Errorf("closed: %v", err)
	}
}

// A durable of which nothing can be learnt is not taken for a missing one.
func TestUnknownDurableIsAnError(t *testing.T) {
	err := topology.Apply(t.Context(), noWord{memory.New()}, plan())
	if !errors.Is(err, queue.ErrUnavailable) || !strings.HasPrefix(err.Error(), "make consumer export-all of stream PENSTOCK_TRACES_0: ") {
		t.Errorf("got %v", err)
	}
}

type noWord struct{ *memory.Queue }

func (noWord) ConsumerState(context.Context, string, string) (queue.ConsumerState, error) {
	return queue.ConsumerState{}, queue.ErrUnavailable
}

type noDead struct{ *memory.Queue }

func (q noDead) EnsureStream(ctx context.Context, c queue.StreamConfig) error {
	if c.Name == topology.DeadLetters {
		return queue.ErrUnavailable
	}
	return q.Queue.EnsureStream(ctx, c)
}

func TestNoRoomIsWaitedForNoLongerThanAsked(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := topology.Apply(ctx, noRoom{memory.New()}, plan())
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, queue.ErrNoRoom) {
		t.Errorf("got %v", err)
	}
}

type noRoom struct{ *memory.Queue }

func (noRoom) EnsureStream(context.Context, queue.StreamConfig) error { return queue.ErrNoRoom }
