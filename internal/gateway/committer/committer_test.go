package committer

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a committer over the memory queue, whose publishes can be held back.
type bench struct {
	*Committer
	q    *memory.Queue
	gate *gate
	lent atomic.Int64 // requests that the committer has
}

// gate is the queue with a door: publishes wait while it is shut.
type gate struct {
	queue.Publisher
	mu      sync.Mutex
	shut    chan struct{} // nil: open
	waiting chan struct{} // gets one for each publish that arrives
	fail    func(stream string, m *queue.Message) error
}

func (g *gate) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	g.waiting <- struct{}{}
	g.mu.Lock()
	shut, fail := g.shut, g.fail
	g.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			return queue.Receipt{}, errors.Join(queue.ErrUnavailable, ctx.Err())
		}
	}
	if fail != nil {
		if err := fail(stream, m); err != nil {
			return queue.Receipt{}, err
		}
	}
	return g.Publisher.Publish(ctx, stream, m)
}

func (g *gate) close() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	shut := make(chan struct{})
	g.shut = shut
	return func() {
		g.mu.Lock()
		g.shut = nil
		g.mu.Unlock()
		close(shut)
	}
}

func newBench(t testing.TB, cfg Config, codecName string, options ...memory.Option) *bench {
	t.Helper()
	return newSharded(t, cfg, codecName, [otlp.NumSignals][]string{{"T"}, {"M"}, {"L"}}, options...)
}

func newSharded(t testing.TB, cfg Config, codecName string, streams [otlp.NumSignals][]string, options ...memory.Option) *bench {
	t.Helper()
	q := memory.New(options...)
	for _, names := range streams {
		for _, name := range names {
			if err := q.EnsureStream(context.Background(), queue.StreamConfig{Name: name, MaxBytes: 1 << 30}); err != nil {
				t.Fatal(err)
			}
		}
	}
	policy, err := codec.NewPolicy(codecName, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{q: q, gate: &gate{Publisher: q, waiting: make(chan struct{}, 10000)}}
	b.Committer = New(Options{Config: cfg, Queue: b.gate, Streams: streams, Compression: policy, Metrics: NewMetrics(prometheus.NewRegistry())})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
		if n := b.lent.Load(); n != 0 {
			t.Errorf("%d requests were not given back exactly once", n)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// request is a checked request of n items.
func request(t testing.TB, g *sample.Generator, s otlp.Signal, n int) ([]byte, otlp.Info) {
	t.Helper()
	b := g.Append(nil, s, n, time.Unix(1_800_000_000, 0))
	info, err := otlp.Check(s, b, otlp.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return b, info
}

// add adds a request and fails the test when that is refused.
func (b *bench) add(t testing.TB, s otlp.Signal, tenant string, p []byte, info otlp.Info) Ticket {
	t.Helper()
	b.lent.Add(1)
	ticket, err := b.Add(Request{Signal: s, Tenant: tenant, Payload: p, Info: info, Release: func() { b.lent.Add(-1) }})
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// confirmed waits for a ticket and fails the test on an error.
func confirmed(t testing.TB, ticket Ticket) Result {
	t.Helper()
	r, err := ticket.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stored is the n-th message of a stream, decompressed.
func (b *bench) stored(t testing.TB, stream string, n uint64) (*record.Record, []byte) {
	t.Helper()
	m, _, err := b.q.Get(context.Background(), stream, n)
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := codec.Decode(nil, r.Codec, r.Body, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) != r.RawBytes {
		t.Fatalf("raw bytes header says %d, body has %d", r.RawBytes, len(raw))
	}
	info, err := otlp.Check(r.Signal, raw, otlp.CheckOptions{RejectUTF8: true})
	if err != nil {
		t.Fatal(err)
	}
	if info.Items != r.Items || info.MinTime != r.MinTime || info.MaxTime != r.MaxTime {
		t.Fatalf("headers say %d items from %d to %d, body has %+v", r.Items, r.MinTime, r.MaxTime, info)
	}
	return r, raw
}

func (b *bench) messages(t testing.TB, stream string) uint64 {
	t.Helper()
	st, err := b.q.StreamState(context.Background(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return st.Messages
}

func one() Config {
	c := DefaultConfig()
	c.CommitsInFlight = 1
	return c
}

func TestLoneRequestIsCommittedAtOnce(t *testing.T) {
	b := newBench(t, one(), codec.S2)
	p, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 10)
	want := bytes.Clone(p)
	ticket, err := b.Add(Request{Signal: otlp.Traces, Payload: p, Info: info, Release: func() { clear(p) }}) // the caller's again
	if err != nil {
		t.Fatal(err)
	}
	if r := confirmed(t, ticket); r.Rejected != 0 {
		t.Fatalf("rejected %d", r.Rejected)
	}
	if r, raw := b.stored(t, "T", 1); !bytes.Equal(raw, want) || r.ID == "" || r.Codec != codec.S2 {
		t.Fatalf("stored %d bytes as %s under id %q, want %d equal bytes", len(raw), r.Codec, r.ID, len(want))
	}
}

func TestRequestsGatherWhileACommitIsInFlight(t *testing.T) {
	b := newBench(t, one(), codec.None)
	g := sample.New(1, sample.Shape{})
	open := b.gate.close()
	var want []byte
	p, info := request(t, g, otlp.Logs, 3)
	tickets := []Ticket{b.add(t, otlp.Logs, "", p, info)}
	<-b.gate.waiting // the first is in flight and holds the only slot
	for range 20 {
		p, info := request(t, g, otlp.Logs, 7)
		want = append(want, p...)
		tickets = append(tickets, b.add(t, otlp.Logs, "", p, info))
	}
	open()
	for _, ticket := range tickets {
		confirmed(t, ticket)
	}
	if n := b.messages(t, "L"); n != 2 {
		t.Fatalf("%d messages, want the lone first and one group of the others", n)
	}
	if r, raw := b.stored(t, "L", 2); !bytes.Equal(raw, want) || r.Items != 140 {
		t.Fatalf("group has %d items in %d bytes, want 140 items in the %d bytes of the requests, joined in order", r.Items, len(raw), len(want))
	}
}

func TestGroupClosesAtItsLimits(t *testing.T) {
	f := func(name string, limit func(*Config), wantMessages uint64) {
		t.Run(name, func(t *testing.T) {
			cfg := one()
			limit(&cfg)
			b := newBench(t, cfg, codec.None)
			g := sample.New(1, sample.Shape{})
			open := b.gate.close()
			var tickets []Ticket
			for range 9 {
				p, info := request(t, g, otlp.Traces, 100) // about 44 KB
				tickets = append(tickets, b.add(t, otlp.Traces, "", p, info))
			}
			<-b.gate.waiting
			open()
			for _, ticket := range tickets {
				confirmed(t, ticket)
			}
			if n := b.messages(t, "T"); n != wantMessages {
				t.Fatalf("%d messages, want %d", n, wantMessages)
			}
		})
	}
	f("no limit reached", func(*Config) {}, 2)
	f("bytes", func(c *Config) { c.MaxBytes = 100 << 10 }, 5) // 1, then 2 at a time
	f("items", func(c *Config) { c.MaxItems = 300 }, 4)       // 1, then 3, 3, 2
}

func TestGroupsHoldOneTenantAndOneSignal(t *testing.T) {
	b := newBench(t, one(), codec.None)
	g := sample.New(1, sample.Shape{})
	open := b.gate.close()
	var tickets []Ticket
	for range 3 {
		for _, tenant := range []string{"", "red", "blue"} {
			for _, s := range otlp.Signals {
				p, info := request(t, g, s, 5)
				tickets = append(tickets, b.add(t, s, tenant, p, info))
			}
		}
	}
	open()
	for _, ticket := range tickets {
		confirmed(t, ticket)
	}
	for i, stream := range []string{"T", "M", "L"} {
		items := map[string]int{}
		ids := map[string]bool{}
		for n := uint64(1); n <= b.messages(t, stream); n++ {
			r, _ := b.stored(t, stream, n)
			if r.Signal != otlp.Signals[i] || ids[r.ID] {
				t.Fatalf("stream %s has %s under id %s", stream, r.Signal, r.ID)
			}
			ids[r.ID] = true
			items[r.Tenant] += r.Items
		}
		for _, tenant := range []string{"", "red", "blue"} {
			if items[tenant] != 15 {
				t.Errorf("stream %s has %d items of tenant %q, want 15", stream, items[tenant], tenant)
			}
		}
	}
}

func TestLargeRequestIsConfirmedWhenAllPartsAre(t *testing.T) {
	cfg := one()
	cfg.MaxBytes = 64 << 10
	b := newBench(t, cfg, codec.S2)
	p, info := request(t, sample.New(1, sample.Shape{Resources: 3}), otlp.Traces, 2000) // about 880 KB
	refuse := false
	b.gate.fail = func(string, *queue.Message) error {
		if refuse {
			return queue.ErrFull
		}
		return nil
	}
	confirmed(t, b.add(t, otlp.Traces, "", p, info))
	items := 0
	seen := new(sample.Seen)
	for n := uint64(1); n <= b.messages(t, "T"); n++ {
		r, raw := b.stored(t, "T", n)
		items += r.Items
		if len(raw) > int(cfg.MaxBytes) {
			t.Errorf("message %d has %d bytes, want at most %s", n, len(raw), cfg.MaxBytes)
		}
		if _, err := sample.ItemIDs(otlp.Traces, raw, func(id uint64) { seen.Add(id) }); err != nil {
			t.Fatal(err)
		}
	}
	if items != 2000 || seen.Distinct() != 2000 {
		t.Fatalf("stored %d items, %d distinct, want 2000", items, seen.Distinct())
	}
	refuse = true
	ticket := b.add(t, otlp.Traces, "", p, info)
	if _, err := ticket.Wait(t.Context()); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("parts were refused and the request got %v, want the refusal", err)
	}
}

func TestEveryMemberHearsOfAFailure(t *testing.T) {
	b := newBench(t, one(), codec.S2)
	g := sample.New(1, sample.Shape{})
	b.gate.fail = func(string, *queue.Message) error { return queue.ErrUnavailable }
	open := b.gate.close()
	var tickets []Ticket
	for range 5 {
		p, info := request(t, g, otlp.Metrics, 5)
		tickets = append(tickets, b.add(t, otlp.Metrics, "", p, info))
	}
	open()
	for _, ticket := range tickets {
		if _, err := ticket.Wait(t.Context()); !errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("got %v, want the failure of the group", err)
		}
	}
	if n := b.messages(t, "M"); n != 0 {
		t.Fatalf("%d messages stored", n)
	}
}
