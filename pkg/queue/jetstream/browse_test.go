package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// browseUntil reads a stream beside all else, in full and headers only, up to
// the message of an ID. What it returns is whole when wg is done.
func browseUntil(t *testing.T, ctx context.Context, wg *sync.WaitGroup, q *Queue, stream, last string) []map[string]uint64 {
	t.Helper()
	var found []map[string]uint64
	for _, headers := range []bool{false, true} {
		b, err := q.Browse(ctx, stream, queue.BrowseOptions{HeadersOnly: headers, MaxMessages: 20})
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]uint64{}
		found = append(found, ids)
		wg.Go(func() {
			defer func() { _ = b.Close() }() // always nil
			for seq := uint64(0); ; {
				e, err := b.Next(ctx)
				if err != nil || e.Sequence <= seq {
					t.Errorf("browse after %d (headers only %t): entry %d, %v", seq, headers, e.Sequence, err)
					return
				}
				seq = e.Sequence
				ids[e.Message.ID] = seq
				if e.Message.ID == last {
					return
				}
			}
		})
	}
	return found
}

func wantAll(t *testing.T, found []map[string]uint64, stored map[string]uint64) {
	t.Helper()
	for i, ids := range found {
		if !maps.Equal(ids, stored) {
			t.Errorf("browser %d found %d messages, stored are %d", i, len(ids), len(stored))
			for id, seq := range stored {
				if ids[id] != seq {
					t.Errorf("browser %d: %s is stored at %d, and was found at %d", i, id, seq, ids[id])
				}
			}
		}
	}
}

// browsers are the consumers that browsers have at the server now.
func browsers(t *testing.T, q *Queue, stream string) (found []*jetstream.ConsumerInfo) {
	t.Helper()
	s, err := q.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	list := s.ListConsumers(t.Context())
	for c := range list.Info() {
		if isBrowser(c.Name) {
			found = append(found, c)
		}
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	return found
}

// TestBrowseConsumer: what a browser makes at the server, what becomes of it,
// and that one which the server has removed is made again at the place.
func TestBrowseConsumer(t *testing.T) {
	t.Parallel()
	q := openTuned(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process, Logger: logTo(t)}, quick)
	ensure(t, q, "BROWSE_0", 1<<20, "c")
	for i := range 10 {
		publish(t, q, "BROWSE_0", fmt.Sprint(i), 100)
	}
	b, err := q.Browse(t.Context(), "BROWSE_0", queue.BrowseOptions{From: 2, HeadersOnly: true, MaxMessages: 2})
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(2); seq <= 10; seq++ {
		e, err := b.Next(t.Context())
		if err != nil || e.Sequence != seq {
			t.Fatalf("entry %d, %v; want %d", e.Sequence, err, seq)
		}
		have := browsers(t, q, "BROWSE_0")
		if len(have) != 1 {
			t.Fatalf("%d consumers", len(have))
		}
		c := have[0].Config
		if c.AckPolicy != jetstream.AckNonePolicy || !c.MemoryStorage || c.Replicas != 1 || !c.HeadersOnly || c.Durable != "" || c.InactiveThreshold != browseIdle {
			t.Fatalf("the consumer is %+v", c)
		}
		if seq%3 == 0 {
			if err := q.js.DeleteConsumer(t.Context(), "BROWSE_0", c.Name); err != nil {
				t.Fatal(err)
			}
			until(t, "a consumer is made again", func() bool {
				if len(browsers(t, q, "BROWSE_0")) == 1 {
					return true
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				switch e, err := b.Next(ctx); {
				case err == nil && e.Sequence == seq+1:
					seq++
				case !errors.Is(err, context.DeadlineExceeded):
					t.Fatalf("entry %d, %v; want %d", e.Sequence, err, seq+1)
				}
				return false
			})
		}
	}
	// Nothing more comes, for longer than a pull lives.
	idle, cancel := context.WithTimeout(t.Context(), 4*quick.pullExpires)
	defer cancel()
	if e, err := b.Next(idle); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("entry %d, %v", e.Sequence, err)
	}
	publish(t, q, "BROWSE_0", "late", 1)
	if e, err := b.Next(t.Context()); err != nil || e.Message.ID != "late" {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(browsers(t, q, "BROWSE_0")); n != 0 {
		t.Fatalf("%d consumers after Close", n)
	}
	for _, l := range q.consume {
		if l.pledged != 0 || l.use != toBrowse {
			t.Errorf("%d bytes pledged on %s", l.pledged, l.name)
		}
	}
	if len(q.readers) != 0 {
		t.Errorf("%d readers", len(q.readers))
	}
}

// TestBrowseStreamGone tells, also of one that is deleted while it is read.
func TestBrowseStreamGone(t *testing.T) {
	t.Parallel()
	q := openTuned(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process}, quick)
	ensure(t, q, "GONE_0", 1<<20)
	publish(t, q, "GONE_0", "a", 1)
	b, err := q.Browse(t.Context(), "GONE_0", queue.BrowseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.js.DeleteStream(t.Context(), "GONE_0"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := b.Next(t.Context()); !errors.Is(err, queue.ErrNotFound) || !strings.Contains(err.Error(), "GONE_0") {
			t.Fatalf("error is %v", err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBrowseCut loses connections, and the delivery that was under way, again
// and again while it is published; the very last delivery too, after which
// nothing comes that could show a gap.
func TestBrowseCut(t *testing.T) {
	t.Parallel()
	var seen, cuts, lost atomic.Int32
	q := through(t, Config{}, func(p *proxy, c *conn, toServer bool, o op) bool {
		if !isDelivery(toServer, o) {
			return true
		}
		if strings.Contains(string(o.payload), "Nats-Msg-Id: last") {
			if lost.Add(1) <= 4 {
				c.close()
				return false
			}
			return true
		}
		switch n := seen.Add(1); {
		case n%60 == 0 && cuts.Add(1) < 12:
			c.close()
			return false
		case n%47 == 0: // as a server would that lost a buffer
			return false
		}
		return true
	})
	const stream, n = "PENSTOCK_NET_0", 150
	ensure(t, q, stream, 16<<20)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	found := browseUntil(t, ctx, &wg, q, stream, "last")
	stored := map[string]uint64{}
	for i := range n {
		id := fmt.Sprint(i)
		stored[id] = publish(t, q, stream, id, 1000).Sequence
	}
	stored["last"] = publish(t, q, stream, "last", 10).Sequence
	wg.Wait()
	wantAll(t, found, stored)
	if cuts.Load() < 2 || lost.Load() < 4 {
		t.Errorf("%d cuts, the last was lost %d times: too little happened", cuts.Load(), lost.Load())
	}
}

// TestBrowseBehind: a server that lags starts a consumer at its own end, which is
// before the place; what is before is passed over.
func TestBrowseBehind(t *testing.T) {
	t.Parallel()
	q := through(t, Config{}, func(_ *proxy, c *conn, toServer bool, o op) bool { return true })
	ensure(t, q, "PENSTOCK_NET_0", 1<<20)
	for i := range 5 {
		publish(t, q, "PENSTOCK_NET_0", fmt.Sprint(i), 10)
	}
	b, err := q.Browse(t.Context(), "PENSTOCK_NET_0", queue.BrowseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.(*browser).from = 4 // the consumer begins at 1
	for seq := uint64(4); seq <= 5; seq++ {
		if e, err := b.Next(t.Context()); err != nil || e.Sequence != seq {
			t.Fatalf("entry %d, %v; want %d", e.Sequence, err, seq)
		}
	}
}

// TestRemoveDenied: a stream of an operator's making says so, and stays.
func TestRemoveDenied(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	c := q.streamConfig(queue.StreamConfig{Name: "DENIED_0", MaxBytes: 1 << 20, DedupWindow: time.Minute})
	if _, err := q.js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: "DENIED_0", MaxBytes: 1 << 20, Removable: true}); err != nil {
		t.Fatal(err)
	}
	publish(t, q, "DENIED_0", "a", 1)
	if err := q.RemoveMessage(t.Context(), "DENIED_0", 1); err == nil || !strings.Contains(err.Error(), "deny_delete") {
		t.Fatalf("error is %v", err)
	}
	for _, name := range []string{"", "a.b", "browse=x"} {
		if err := q.RemoveConsumer(t.Context(), "DENIED_0", name); err == nil || !strings.Contains(err.Error(), "consumer name") {
			t.Errorf("remove of consumer %q: %v", name, err)
		}
	}
	if _, err := q.SequenceAt(t.Context(), "no", time.Now()); err == nil || !strings.Contains(err.Error(), "stream name") {
		t.Errorf("error is %v", err)
	}
}
