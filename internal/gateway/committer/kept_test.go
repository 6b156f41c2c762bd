package committer

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// TestRequestThatCannotBeCutIsNotCopied: it is the committer's until it is
// committed, or until nobody waits for it.
func TestRequestThatCannotBeCutIsNotCopied(t *testing.T) {
	cfg := one()
	cfg.MaxBytes = 64 << 10
	b := newBench(t, cfg, codec.None)
	open := b.gate.close()
	before, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 1)
	first := b.add(t, otlp.Traces, "", before, info) // takes the one slot
	<-b.gate.waiting
	gathers := b.add(t, otlp.Traces, "", before, info)

	sent := giantSpan(200 << 10)
	back := make(chan []byte, 2)
	add := func() Ticket {
		p := bytes.Clone(sent)
		ticket, err := b.Add(Request{Signal: otlp.Traces, Payload: p, Info: otlp.Info{Items: 1}, Release: func() {
			clear(p) // as its next owner would
			back <- p
		}})
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	stays, leaves := add(), add()
	if len(back) != 0 {
		t.Fatal("a request that could not be cut was given back before its commit")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := leaves.Wait(gone); !errors.Is(err, context.Canceled) || len(back) != 1 {
		t.Fatalf("%v, %d given back: want the one whose client has left", err, len(back))
	}
	open()
	for _, ticket := range []Ticket{first, gathers, stays} {
		confirmed(t, ticket)
	}
	if len(back) != 2 {
		t.Error("a request was committed and not given back")
	}
	if n := b.messages(t, "T"); n != 3 {
		t.Fatalf("%d messages, want 3", n)
	}
	if _, raw := b.stored(t, "T", 3); !bytes.Equal(raw, sent) {
		t.Error("what is stored, in the third place, is not what was sent")
	}
}

// TestHugeBuffersAreNotKept: of large buffers few are held for what comes next, of
// huge ones none, and one that is held is used again.
func TestHugeBuffersAreNotKept(t *testing.T) {
	b := &buffers{keep: 8}
	kept := func(size int) (n int) {
		for range 10 {
			b.put(make([]byte, 0, size))
		}
		for k := range b.free {
			n += len(b.free[k])
		}
		b = &buffers{keep: 8}
		return n
	}
	if small, large, huge, odd := kept(64<<10), kept(4<<20), kept(8<<20), kept(5000); small != 8 || large != keepLarge || huge != 0 || odd != 0 {
		t.Errorf("%d small, %d large, %d huge ones and %d of an odd size are held", small, large, huge, odd)
	}
	p := b.get(100 << 10)
	if cap(p) != 128<<10 || len(p) != 0 {
		t.Errorf("length %d, capacity %d", len(p), cap(p))
	}
	first := &p[:1][0]
	b.put(append(p, "some"...))
	if p = b.get(70 << 10); &p[:1][0] != first || len(p) != 0 {
		t.Error("one that was put back is not used again, empty")
	}
}

// TestWhatLiesInTooMuchMemoryIsCopied: a small request in a large buffer does not
// keep that one until its commit.
func TestWhatLiesInTooMuchMemoryIsCopied(t *testing.T) {
	b := newBench(t, one(), codec.None)
	open := b.gate.close()
	p, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 10)
	first := b.add(t, otlp.Traces, "", p, info) // takes the one slot
	<-b.gate.waiting
	back := 0
	add := func(room int) Ticket {
		ticket, err := b.Add(Request{Signal: otlp.Traces, Payload: append(make([]byte, 0, room), p...), Info: info, Release: func() { back++ }})
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	copied := add(1 << 20)
	if back != 1 {
		t.Errorf("%d given back, want the one in 1 MiB", back)
	}
	stays := add(2 * len(p))
	if back != 1 {
		t.Error("one in a buffer of about its size was given back before its commit")
	}
	open()
	for _, ticket := range []Ticket{first, copied, stays} {
		confirmed(t, ticket)
	}
	if back != 2 {
		t.Errorf("%d given back after the commit, want 2", back)
	}
	if r, raw := b.stored(t, "T", 2); r.Items != 2*info.Items || !bytes.Equal(raw, append(bytes.Clone(p), p...)) {
		t.Error("what is stored is not what was sent")
	}
}

// TestASpaceCalmsDown: what large groups need is kept while they come, and let go of
// when they do not.
func TestASpaceCalmsDown(t *testing.T) {
	s := &space{}
	use := func(size int) {
		s.raw = fit(s.raw, size)
		s.packed = fit(s.packed, size/4)
		s.trim(size)
	}
	use(100)
	if cap(s.raw) != usual || cap(s.packed) != usual {
		t.Fatalf("room for %d and %d bytes, want %d", cap(s.raw), cap(s.packed), usual)
	}
	use(3 << 20)
	for range calmDown - 1 {
		use(1000)
	}
	if cap(s.raw) < 3<<20 {
		t.Error("what a large group needed is gone too soon")
	}
	use(3 << 20)
	for range calmDown {
		use(1000)
	}
	if cap(s.raw) > usual {
		t.Errorf("%d bytes are held after %d small groups", cap(s.raw), calmDown)
	}
}

// TestGroupsGrowWhereCommitsTakeLong: what is enough for a fast queue is not for one
// that takes its time.
func TestGroupsGrowWhereCommitsTakeLong(t *testing.T) {
	cfg := one()
	b := newBench(t, cfg, codec.None)
	l := b.lanes[otlp.Traces]
	group := func() (requests int) {
		open := b.gate.close()
		p, info := request(t, sample.New(1, sample.Shape{}), otlp.Traces, 400) // 180 KB
		tickets := []Ticket{b.add(t, otlp.Traces, "", p, info)}
		<-b.gate.waiting
		for range 10 {
			tickets = append(tickets, b.add(t, otlp.Traces, "", p, info))
		}
		before := b.messages(t, "T")
		open()
		for _, ticket := range tickets {
			confirmed(t, ticket)
		}
		return int(b.messages(t, "T") - before)
	}
	l.mu.Lock()
	l.takes = 0
	l.mu.Unlock()
	if n := group(); n != 3 { // itself, and 10 of 180 KB, of which 5 make 1 MiB
		t.Errorf("%d messages of a fast queue, want groups of 1 MiB", n)
	}
	l.mu.Lock()
	l.takes = time.Hour
	l.mu.Unlock()
	if n := group(); n != 2 {
		t.Errorf("%d messages of a slow queue, want one that has gathered all", n)
	}
}
