package committer

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// heap is what lives.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestImpatientClientsLeaveNothingBehind stalls the queue while clients come,
// wait a moment and go, one after the other: none of them holds anything of the
// admission budget any more, so nothing of them may be held here (I5).
func TestImpatientClientsLeaveNothingBehind(t *testing.T) {
	b := newBench(t, one(), codec.None)
	g := sample.New(1, sample.Shape{})
	open := b.gate.close()
	p, info := request(t, g, otlp.Traces, 200)
	patient := b.add(t, otlp.Traces, "", p, info)
	<-b.gate.waiting // holds the only slot
	before := heap()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 500 {
		p, info := request(t, g, otlp.Traces, 200) // 90 KB
		ticket := b.add(t, otlp.Traces, "", p, info)
		if _, err := ticket.Wait(gone); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("500 clients that left hold %d MiB", (after-before)>>20)
	}
	open()
	confirmed(t, patient)
	if n := b.messages(t, "T"); n != 1 {
		t.Errorf("%d messages stored, want the one that somebody waited for", n)
	}
}

// TestManySmallGroupsHoldLittle has a thousand groups that wait for a slot, each
// of one small request.
func TestManySmallGroupsHoldLittle(t *testing.T) {
	cfg := one()
	cfg.MaxItems = 1
	b := newBench(t, cfg, codec.None)
	g := sample.New(1, sample.Shape{})
	open := b.gate.close()
	before := heap()
	var tickets []Ticket
	for range 1000 {
		p, info := request(t, g, otlp.Traces, 1)
		tickets = append(tickets, b.add(t, otlp.Traces, "", p, info))
	}
	if after := heap(); after > before+40<<20 { // the full ones of every slot and signal, and 4 KiB a group
		t.Errorf("1000 groups of one span hold %d MiB", (after-before)>>20)
	}
	open()
	for _, ticket := range tickets {
		confirmed(t, ticket)
	}
	if n := b.messages(t, "T"); n != 1000 {
		t.Errorf("%d messages, want one a request", n)
	}
}

func TestShardsShareTheLoadAndAFullOneIsPassedOver(t *testing.T) {
	b := newSharded(t, DefaultConfig(), codec.None, [otlp.NumSignals][]string{{"T0", "T1", "T2"}, {"M"}, {"L"}})
	g := sample.New(1, sample.Shape{})
	send := func(n int) {
		for range n {
			p, info := request(t, g, otlp.Traces, 1)
			confirmed(t, b.add(t, otlp.Traces, "", p, info))
		}
	}
	send(30) // one at a time: the shards are equally idle
	for _, stream := range []string{"T0", "T1", "T2"} {
		if n := b.messages(t, stream); n != 10 {
			t.Errorf("%s has %d of 30 messages, want 10", stream, n)
		}
	}
	b.gate.mu.Lock()
	b.gate.fail = func(stream string, _ *queue.Message) error {
		if stream == "T0" {
			return queue.ErrFull
		}
		return nil
	}
	b.gate.mu.Unlock()
	send(30)
	if n := b.messages(t, "T0") + b.messages(t, "T1") + b.messages(t, "T2"); n != 60 {
		t.Errorf("%d messages stored, want all 60", n)
	}
	b.gate.mu.Lock()
	b.gate.fail = func(string, *queue.Message) error { return queue.ErrFull }
	b.gate.mu.Unlock()
	p, info := request(t, g, otlp.Traces, 1)
	full := b.add(t, otlp.Traces, "", p, info)
	if _, err := full.Wait(t.Context()); !errors.Is(err, queue.ErrFull) {
		t.Errorf("all shards are full: %v", err)
	}
}

// TestAMessageLeavesRoomForADeadLetter: what is stored must fit the dead-letter
// stream with the headers that it adds.
func TestAMessageLeavesRoomForADeadLetter(t *testing.T) {
	const limit = 64 << 10
	b := newBench(t, one(), codec.None, memory.WithMaxMessageBytes(limit))
	g := sample.New(1, sample.Shape{})
	for n := 100; n < 200; n++ { // 44 to 88 KB, in steps of one span
		p, info := request(t, g, otlp.Traces, n)
		confirmed(t, b.add(t, otlp.Traces, "", p, info))
	}
	largest := 0
	for n := uint64(1); n <= b.messages(t, "T"); n++ {
		r, _ := b.stored(t, "T", n)
		m := record.Encode(r)
		size := len(m.Body)
		largest = max(largest, size)
		if size > limit-reserve {
			t.Errorf("message %d has %d bytes: no room for %d bytes of headers", n, size, reserve)
		}
	}
	if largest < limit-reserve-3000 {
		t.Errorf("the largest message has %d bytes: the limit was not tried", largest)
	}
}

// TestTenantsTakeTurns has one tenant with many full groups and one with a single
// request that came after them: it is committed next.
func TestTenantsTakeTurns(t *testing.T) {
	cfg := one()
	cfg.MaxItems = 100
	b := newBench(t, cfg, codec.None)
	g := sample.New(1, sample.Shape{})
	open := b.gate.close()
	var tickets []Ticket
	for range 20 {
		p, info := request(t, g, otlp.Traces, 100)
		tickets = append(tickets, b.add(t, otlp.Traces, "noisy", p, info))
	}
	<-b.gate.waiting // the first is in flight and holds the only slot
	for _, name := range []string{"quiet", "calm"} {
		p, info := request(t, g, otlp.Traces, 1)
		tickets = append(tickets, b.add(t, otlp.Traces, name, p, info))
	}
	open()
	for _, ticket := range tickets {
		confirmed(t, ticket)
	}
	var order []string
	for n := uint64(1); n <= b.messages(t, "T"); n++ {
		r, _ := b.stored(t, "T", n)
		order = append(order, r.Tenant)
	}
	want := append([]string{"noisy", "noisy", "quiet", "calm"}, slices.Repeat([]string{"noisy"}, 18)...)
	if !slices.Equal(order, want) {
		t.Errorf("committed in the order %v, want %v", order, want)
	}
}
