package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// TestReplicatedTrouble has everything at work on three servers while leaders
// step down, a server is killed and comes back, and then another, so that what is
// there must be on the first one again. Nothing confirmed is lost.
func TestReplicatedTrouble(t *testing.T) {
	t.Parallel()
	c := newProcesses(t, 3)
	q := openQueue(t, Config{URL: c.urls, Durability: Replicated, Logger: logTo(t)})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	const stream = "TROUBLE_0"
	if err := q.EnsureStream(ctx, queue.StreamConfig{Name: stream, MaxBytes: 64 << 20, Removable: true}); err != nil {
		t.Fatal(err)
	}
	if err := q.EnsureConsumer(ctx, stream, queue.ConsumerConfig{Name: "c", AckWait: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	w := startWork(t, ctx, q, stream)

	w.goesOn("at the start")
	for range 2 {
		c.stepDown(q, stream, "c")
		c.stepDown(q, valueStream, "")
		w.goesOn("after a step down")
	}
	first := c.leader(q, stream)
	c.kill(first)
	w.goesOn("without the leader")
	c.start(first)
	c.healthy(first)
	second := c.leader(q, stream)
	c.kill(second)
	w.goesOn("without the second leader")
	c.start(second)
	c.healthy(second)
	w.goesOn("with all")
	w.end()

	// Confirmed is stored, once, at its place; and found by every reader.
	stored := map[string]uint64{}
	st, err := q.StreamState(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	for seq := st.FirstSeq; seq <= st.LastSeq; seq++ {
		m, _, err := q.Get(ctx, stream, seq)
		if err != nil {
			t.Fatal(err)
		}
		if was, twice := stored[m.ID]; twice {
			t.Errorf("%s is stored at %d and %d", m.ID, was, seq)
		}
		stored[m.ID] = seq
	}
	for id, seq := range w.confirmed {
		if stored[id] != seq {
			t.Errorf("%s was confirmed at %d, and is at %d", id, seq, stored[id])
		}
	}
	wantAll(t, append(w.browsed, w.delivered), stored)
	t.Logf("%d confirmed, %d stored; %d increments, %d unknown", len(w.confirmed), len(stored), w.counted.Load(), w.unknown.Load())
	v, err := q.Load(ctx, "counter")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.ParseInt(string(v.Data), 10, 64); err != nil || n < w.counted.Load() || n > w.counted.Load()+w.unknown.Load() {
		t.Errorf("the counter is %s after %d increments, and %d of unknown outcome", v.Data, w.counted.Load(), w.unknown.Load())
	}
	replicatedPurge(t, ctx, c, q, stream, st)
}

// replicatedPurge: what is purged and removed is gone from every server, and
// stays so when the leader moves.
func replicatedPurge(t *testing.T, ctx context.Context, c *processes, q *Queue, stream string, st queue.StreamState) {
	t.Helper()
	half := st.FirstSeq + st.Messages/2
	if err := q.Purge(ctx, stream, half); err != nil {
		t.Fatal(err)
	}
	if err := q.RemoveMessage(ctx, stream, half+2); err != nil {
		t.Fatal(err)
	}
	if err := q.RemoveMessage(ctx, stream, half+2); !errors.Is(err, queue.ErrNotFound) {
		t.Fatalf("removed twice: %v", err)
	}
	for range 2 {
		for i := range c.configs {
			until(t, fmt.Sprintf("server %d has purged", i), func() bool {
				have := c.state(i, stream)
				return have.FirstSeq == half+1 && have.LastSeq == st.LastSeq && have.Msgs == st.LastSeq-half-1
			})
		}
		b, err := q.Browse(ctx, stream, queue.BrowseOptions{HeadersOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		for seq := half + 1; seq <= st.LastSeq; seq++ {
			if seq == half+2 {
				continue
			}
			e, err := b.Next(ctx)
			if err != nil || e.Sequence != seq {
				t.Fatalf("entry %d, %v; want %d", e.Sequence, err, seq)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		c.stepDown(q, stream, "")
	}
	if got, err := q.SequenceAt(ctx, stream, time.Now().Add(time.Hour)); err != nil || got != st.LastSeq+1 {
		t.Errorf("sequence of the future: %d, %v", got, err)
	}
	if got, err := q.SequenceAt(ctx, stream, time.Time{}); err != nil || got != half+1 {
		t.Errorf("sequence of the past: %d, %v; want %d", got, err, half+1)
	}
	if err := q.RemoveConsumer(ctx, stream, "c"); err != nil {
		t.Fatal(err)
	}
	if err := q.RemoveConsumer(ctx, stream, "c"); !errors.Is(err, queue.ErrNotFound) {
		t.Fatalf("removed twice: %v", err)
	}
}

// work is publishers, a consumer, browsers, counters and holders of a lease.
type work struct {
	t       *testing.T
	q       *Queue
	stream  string
	ctx     context.Context // ends the publishers, counters and holders
	stop    context.CancelFunc
	writers sync.WaitGroup
	readers sync.WaitGroup

	browsed          []map[string]uint64
	delivered        map[string]uint64
	counted, unknown atomic.Int64
	leased           atomic.Int64 // times that the lease was renewed

	mu        sync.Mutex
	confirmed map[string]uint64
}

func startWork(t *testing.T, ctx context.Context, q *Queue, stream string) *work {
	t.Helper()
	w := &work{t: t, q: q, stream: stream, delivered: map[string]uint64{}, confirmed: map[string]uint64{}}
	w.ctx, w.stop = context.WithCancel(ctx)
	t.Cleanup(w.stop)
	w.browsed = browseUntil(t, ctx, &w.readers, q, stream, "last")
	c, err := q.Consume(ctx, stream, "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.readers.Go(func() {
		last := uint64(0)
		for len(w.delivered) == 0 || uint64(len(w.delivered)) < last || last == 0 {
			d, err := c.Next(ctx)
			if err != nil {
				t.Errorf("next: %v (%d delivered)", err, len(w.delivered))
				return
			}
			if err := d.AckSync(ctx); err != nil {
				t.Errorf("ack: %v", err)
				return
			}
			w.delivered[d.Message().ID] = d.Sequence()
			if d.Message().ID == "last" {
				last = d.Sequence()
			}
		}
	})
	for p := range 2 {
		w.writers.Go(func() { w.publish(ctx, p) })
		w.writers.Go(func() { w.count(p) })
	}
	w.writers.Go(w.hold)
	return w
}

func (w *work) publish(ctx context.Context, p int) {
	for i := 0; w.ctx.Err() == nil; i++ {
		id := fmt.Sprintf("%d-%d", p, i)
		r, err := w.q.Publish(ctx, w.stream, &queue.Message{ID: id, Body: make([]byte, 2000)})
		if err != nil {
			w.t.Errorf("publish %s: %v", id, err)
			return
		}
		w.mu.Lock()
		w.confirmed[id] = r.Sequence
		w.mu.Unlock()
		time.Sleep(5 * time.Millisecond) // others share the disk
	}
}

// count increments a counter, and wants each process to see what it has saved.
func (w *work) count(p int) {
	own := fmt.Sprintf("own/%d", p)
	for i := 0; w.ctx.Err() == nil; i++ {
		time.Sleep(10 * time.Millisecond) // others share the disk
		v, err := w.q.Load(w.ctx, "counter")
		n := 0
		if err == nil {
			n, err = strconv.Atoi(string(v.Data))
		} else if errors.Is(err, queue.ErrNotFound) {
			err = nil
		}
		if err == nil {
			_, err = w.q.Save(w.ctx, "counter", strconv.AppendInt(nil, int64(n+1), 10), v.Revision)
			switch {
			case err == nil:
				w.counted.Add(1)
			case errors.Is(err, queue.ErrUnavailable):
				w.unknown.Add(1)
			}
		}
		if err != nil && !errors.Is(err, queue.ErrConflict) && !errors.Is(err, queue.ErrUnavailable) {
			w.t.Errorf("counting: %v", err)
			return
		}
		r, err := w.q.Save(w.ctx, own, strconv.AppendInt(nil, int64(i), 10), queue.AnyRevision)
		if err != nil {
			continue
		}
		list, err := w.q.List(w.ctx, own)
		if err == nil && (len(list) != 1 || list[0].Revision != r || string(list[0].Data) != strconv.Itoa(i)) {
			w.t.Errorf("listed %+v, saved %d at %d", list, i, r)
		}
		if i%5 == 0 {
			if err := w.q.Remove(w.ctx, own, r); err != nil {
				continue
			}
			if list, err := w.q.List(w.ctx, own); err == nil && len(list) != 0 {
				w.t.Errorf("listed %+v after removal", list)
			}
		}
	}
}

// hold renews a lease that another wants too.
func (w *work) hold() {
	for w.ctx.Err() == nil {
		if held, err := w.q.Lease(w.ctx, "trouble", "a", time.Hour); held && err == nil {
			w.leased.Add(1)
		}
		if held, err := w.q.Lease(w.ctx, "trouble", "b", time.Hour); held && err == nil && w.leased.Load() > 0 {
			w.t.Error("a lease has two holders")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// goesOn waits until each kind of work has made progress.
func (w *work) goesOn(when string) {
	w.t.Helper()
	progress := func() [3]int64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return [3]int64{int64(len(w.confirmed)), w.counted.Load(), w.leased.Load()}
	}
	before := progress()
	w.t.Logf("%s: published, counted, leased %v", when, before)
	deadline := time.Now().Add(40 * time.Second)
	for {
		now := progress()
		if now[0] >= before[0]+20 && now[1] >= before[1]+3 && now[2] >= before[2]+1 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: published, counted, leased %v, and then %v", when, before, now)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end stops the writers, and waits until the readers have all.
func (w *work) end() {
	w.t.Helper()
	w.stop()
	w.writers.Wait()
	r := publish(w.t, w.q, w.stream, "last", 10)
	w.confirmed["last"] = r.Sequence
	w.readers.Wait()
	w.delivered = maps.Clone(w.delivered)
}
