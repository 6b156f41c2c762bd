package committer

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestCallerMayLeaveAndTheOthersAreCommitted(t *testing.T) {
	b := newBench(t, one(), codec.S2)
	g := sample.New(1, sample.Shape{})
	open := b.gate.close()
	p, info := request(t, g, otlp.Traces, 1)
	first := b.add(t, otlp.Traces, "", p, info)
	<-b.gate.waiting
	leaver, stayer := b.add(t, otlp.Traces, "", p, info), b.add(t, otlp.Traces, "", p, info)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := leaver.Wait(gone); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the caller's own context", err)
	}
	open()
	confirmed(t, first)
	confirmed(t, stayer)
	if r, _ := b.stored(t, "T", 2); r.Items != 2 {
		t.Fatalf("group has %d items, want both requests", r.Items)
	}
}

func TestGroupThatNobodyWaitsForIsDropped(t *testing.T) {
	b := newBench(t, one(), codec.S2)
	p, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 1)
	open := b.gate.close()
	inFlight, gathering := b.add(t, otlp.Traces, "", p, info), Ticket{}
	<-b.gate.waiting
	gathering = b.add(t, otlp.Traces, "", p, info)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ticket := range []Ticket{gathering, inFlight} { // the second ends its publish
		if _, err := ticket.Wait(gone); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	open()
	last := b.add(t, otlp.Traces, "", p, info)
	confirmed(t, last)
	if n := b.messages(t, "T"); n != 1 {
		t.Fatalf("%d messages, want only the one that somebody waited for", n)
	}
	if n := testutil.ToFloat64(b.metrics.abandoned); n != 1 {
		t.Errorf("%g abandoned groups counted, want 1", n)
	}
}

// TestNeighboursOfATooLargeRequestAreStored commits a group whose message is
// more than the queue takes.
func TestNeighboursOfATooLargeRequestAreStored(t *testing.T) {
	b := newBench(t, one(), codec.None, memory.WithMaxMessageBytes(20<<10))
	g := sample.New(1, sample.Shape{})
	open := b.gate.close()
	var tickets []Ticket
	for _, n := range []int{1, 10, 200, 10} { // 0.4, 4, 88, 4 KB
		p, info := request(t, g, otlp.Traces, n)
		tickets = append(tickets, b.add(t, otlp.Traces, "", p, info))
	}
	open()
	for _, ticket := range tickets {
		if r := confirmed(t, ticket); r.Rejected != 0 {
			t.Errorf("%d rejected: %s", r.Rejected, r.Why)
		}
	}
	seen := new(sample.Seen)
	for n := uint64(1); n <= b.messages(t, "T"); n++ {
		_, raw := b.stored(t, "T", n)
		if _, err := sample.ItemIDs(otlp.Traces, raw, func(id uint64) { seen.Add(id) }); err != nil {
			t.Fatal(err)
		}
	}
	if seen.Distinct() != 221 || seen.Duplicates() != 0 {
		t.Fatalf("stored %d distinct items and %d twice, want 221 once", seen.Distinct(), seen.Duplicates())
	}
}

// TestItemTooLargeForTheQueueIsRejectedAlone has one span of 30 KB among small ones.
func TestItemTooLargeForTheQueueIsRejectedAlone(t *testing.T) {
	b := newBench(t, one(), codec.None, memory.WithMaxMessageBytes(20<<10))
	g := sample.New(1, sample.Shape{})
	small, _ := request(t, g, otlp.Traces, 50)
	big := giantSpan(30 << 10)
	p := append(bytes.Clone(small), big...)
	info, err := otlp.Check(otlp.Traces, p, otlp.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := confirmed(t, b.add(t, otlp.Traces, "", p, info))
	if r.Rejected != 1 || !strings.Contains(r.Why, "cannot be stored") {
		t.Fatalf("rejected %d (%s), want the one span", r.Rejected, r.Why)
	}
	items := 0
	for n := uint64(1); n <= b.messages(t, "T"); n++ {
		rec, _ := b.stored(t, "T", n)
		items += rec.Items
	}
	if items != 50 {
		t.Fatalf("stored %d items, want the 50 small ones", items)
	}
	only, info := big, otlp.Info{Items: 1}
	if r := confirmed(t, b.add(t, otlp.Traces, "", only, info)); r.Rejected != 1 {
		t.Fatalf("rejected %d of a request that is the span alone", r.Rejected)
	}
}

// TestItemAboveTheBoundIsRejectedAlone: its neighbours are stored, and its client
// hears what to do.
func TestItemAboveTheBoundIsRejectedAlone(t *testing.T) {
	cfg := one()
	cfg.MaxBytes, cfg.MaxItemBytes = 64<<10, 128<<10
	b := newBench(t, cfg, codec.None)
	small, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 3)
	f := func(giant, items, rejected, messages int) {
		t.Helper()
		before := b.messages(t, "T")
		p := giantSpan(giant)
		if items > 1 {
			p = append(bytes.Clone(small), p...)
		}
		released := 0
		ticket, err := b.Add(Request{Signal: otlp.Traces, Payload: p, Info: otlp.Info{Items: items}, Release: func() { released++ }})
		if err != nil {
			t.Fatal(err)
		}
		got := confirmed(t, ticket)
		if got.Rejected != rejected || released != 1 || int(b.messages(t, "T")-before) != messages {
			t.Errorf("%d bytes: %+v, released %d times, %d messages more", giant, got, released, b.messages(t, "T")-before)
		}
		if (got.Why == "") != (rejected == 0) || rejected > 0 && !strings.Contains(got.Why, "max_item_bytes is 128KiB") {
			t.Errorf("%d bytes: %q", giant, got.Why)
		}
	}
	f(200<<10, 1, 1, 0)
	f(200<<10, info.Items+1, 1, 1)
	f(100<<10, 1, 0, 1)
	b.cfg.MaxItemBytes = 0
	f(200<<10, 1, 0, 1)
}

// giantSpan is a request of one span whose name has n bytes.
func giantSpan(n int) []byte {
	field := func(number byte, b []byte) []byte {
		out := []byte{number<<3 | 2}
		for l := len(b); ; l >>= 7 {
			if l < 0x80 {
				out = append(out, byte(l))
				break
			}
			out = append(out, byte(l)|0x80)
		}
		return append(out, b...)
	}
	span := field(5, bytes.Repeat([]byte("x"), n))
	return field(1, field(2, field(2, span)))
}

func TestStopCommitsWhatIsGathered(t *testing.T) {
	cfg := one()
	cfg.MaxDelay = config.Duration(5 * time.Second)
	b := newBench(t, cfg, codec.S2)
	p, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 1)
	ticket := b.add(t, otlp.Traces, "", p, info)
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	confirmed(t, ticket)
	released := 0
	if _, err := b.Add(Request{Signal: otlp.Traces, Payload: p, Info: info, Release: func() { released++ }}); !errors.Is(err, ErrStopped) || released != 1 {
		t.Fatalf("Add after Stop: %v", err)
	}
}

func TestStopGivesUpInTime(t *testing.T) {
	b := newBench(t, one(), codec.S2)
	p, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 1)
	defer b.gate.close()()
	ticket := b.add(t, otlp.Traces, "", p, info)
	<-b.gate.waiting
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Stop(ctx); err == nil {
		t.Fatal("Stop gave up and did not say so")
	}
	if _, err := ticket.Wait(t.Context()); !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("got %v, want unknown outcome", err)
	}
}

func TestMaxDelayGathersAlthoughASlotIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := one()
		cfg.MaxDelay = config.Duration(50 * time.Millisecond)
		b := newBench(t, cfg, codec.S2)
		g := sample.New(1, sample.Shape{})
		begin := time.Now()
		var tickets []Ticket
		for range 4 {
			p, info := request(t, g, otlp.Traces, 1)
			tickets = append(tickets, b.add(t, otlp.Traces, "", p, info))
			time.Sleep(10 * time.Millisecond)
		}
		for _, ticket := range tickets {
			confirmed(t, ticket)
		}
		if took := time.Since(begin); took != 50*time.Millisecond {
			t.Errorf("committed after %s, want max_delay", took)
		}
		if n := b.messages(t, "T"); n != 1 {
			t.Errorf("%d messages, want one group", n)
		}
	})
}

// TestTenantAboveItsQuotaGathers: it takes few commits from the others, which do not
// wait for it, whoever came first.
func TestTenantAboveItsQuotaGathers(t *testing.T) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			cfg := one()
			cfg.MaxDelay = config.Duration(delay)
			b := newBench(t, cfg, codec.S2)
			g := sample.New(1, sample.Shape{})
			begin := time.Now()
			var noisy []Ticket
			for range 4 {
				p, info := request(t, g, otlp.Traces, 1)
				ticket, err := b.Add(Request{Signal: otlp.Traces, Tenant: "noisy", Payload: p, Info: info, OverQuota: true, Release: func() {}})
				if err != nil {
					t.Fatal(err)
				}
				noisy = append(noisy, ticket)
				p, info = request(t, g, otlp.Traces, 1)
				asked := time.Now()
				confirmed(t, b.add(t, otlp.Traces, "quiet", p, info))
				if waited := time.Since(asked); waited != delay {
					t.Errorf("max_delay %s: the other tenant waited %s", delay, waited)
				}
			}
			for _, ticket := range noisy {
				confirmed(t, ticket)
			}
			if took := time.Since(begin); took != overQuotaDelay {
				t.Errorf("max_delay %s: the tenant above its quota was confirmed after %s, want %s", delay, took, overQuotaDelay)
			}
			if n := b.messages(t, "T"); n != 5 {
				t.Errorf("%d messages, want four and one of the tenant above its quota", n)
			}
		})
	}
}

// TestEveryItemOfManyClientsIsStoredOnce is the whole under the race detector.
func TestEveryItemOfManyClientsIsStoredOnce(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxBytes = 128 << 10
	b := newBench(t, cfg, codec.S2)
	const clients, requests = 16, 40
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			g := sample.New(uint64(i), sample.Shape{Source: uint32(i + 1)})
			r := rand.New(rand.NewPCG(uint64(i), 7))
			for range requests {
				p, info := request(t, g, otlp.Logs, 1+r.IntN(100))
				ticket, err := b.Add(Request{Signal: otlp.Logs, Payload: p, Info: info, Release: func() { clear(p) }})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := ticket.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if g.Next() == 0 {
				t.Error("nothing was sent")
			}
		})
	}
	wg.Wait()
	want := uint64(0)
	seen := new(sample.Seen)
	for n := uint64(1); n <= b.messages(t, "L"); n++ {
		r, raw := b.stored(t, "L", n)
		want += uint64(r.Items)
		if _, err := sample.ItemIDs(otlp.Logs, raw, func(id uint64) { seen.Add(id) }); err != nil {
			t.Fatal(err)
		}
	}
	if seen.Duplicates() != 0 || seen.Distinct() != want || want == 0 {
		t.Fatalf("stored %d items, %d distinct, %d twice", want, seen.Distinct(), seen.Duplicates())
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something about %s", err, want)
		}
	}
	f(func(c *Config) { c.MaxBytes = 1 }, "max_bytes is 1B")
	f(func(c *Config) { c.MaxItemBytes = -1 }, "max_item_bytes is -1B")
	f(func(c *Config) { c.MaxItems = -1 }, "max_items is -1")
	f(func(c *Config) { c.MaxDelay = config.Duration(time.Minute) }, "max_delay is 1m")
	f(func(c *Config) { c.CommitsInFlight = 0 }, "commits_in_flight is 0")
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults are invalid: %v", err)
	}
}

// BenchmarkAdd is a request of 100 spans through check-free group commit: copy,
// compress, publish to memory.
func BenchmarkAdd(b *testing.B) {
	c := newBench(b, DefaultConfig(), codec.S2)
	p, info := request(b, sample.New(1, sample.Shape{}), otlp.Traces, 100)
	go func() {
		for range c.gate.waiting { //nolint:revive // drained
		}
	}()
	defer close(c.gate.waiting)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ticket, err := c.Add(Request{Signal: otlp.Traces, Payload: p, Info: info, Release: func() {}})
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := ticket.Wait(context.Background()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// TestRepeatedPublishesAreCounted has a queue that stored the first try and lost
// the answer, so that the second finds it there.
func TestRepeatedPublishesAreCounted(t *testing.T) {
	b := newBench(t, one(), codec.None)
	b.gate.fail = func(stream string, m *queue.Message) error {
		_, err := b.q.Publish(t.Context(), stream, m)
		return err
	}
	p, info := request(t, sample.New(1, sample.Shape{}), otlp.Logs, 7)
	confirmed(t, b.add(t, otlp.Logs, "", p, info))
	for s, want := range map[otlp.Signal]float64{otlp.Logs: 7, otlp.Traces: 0} {
		if n := testutil.ToFloat64(b.metrics.duplicates[s]); n != want {
			t.Errorf("%s: %g duplicates counted, want %g", s, n, want)
		}
	}
	if n := b.messages(t, "L"); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
}
