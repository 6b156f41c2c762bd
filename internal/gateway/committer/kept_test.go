package committer

import (
	"bytes"
	"context"
	"errors"
	"testing"

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

// TestHugeBuffersAreNotKept: a buffer that has outgrown its size is not held for
// the next group.
func TestHugeBuffersAreNotKept(t *testing.T) {
	b := buffers{size: 64 << 10, keep: 2}
	p, full := b.get(1)
	b.put(append(p, make([]byte, 1<<20)...), full)
	if p, full = b.get(1); !full || cap(p) != 64<<10 {
		t.Errorf("full %t, capacity %d", full, cap(p))
	}
	first := &p[:1][0]
	b.put(p, full)
	if p, _ = b.get(1); &p[:1][0] != first {
		t.Error("one of its size is not used again")
	}
}
