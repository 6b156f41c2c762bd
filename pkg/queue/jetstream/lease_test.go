package jetstream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestLeaseTrustsNoClock: an entry that the server says is old, of a holder that
// asked for little, counts as renewed until it was seen unchanged for the ttl
// here. Two processes are two Queues.
func TestLeaseTrustsNoClock(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{})
	a, b := openQueue(t, Config{Conn: s, Durability: Process}), openQueue(t, Config{Conn: s, Durability: Process})
	const ttl = 300 * time.Millisecond
	f := func(q *Queue, holder string, want bool) {
		t.Helper()
		held, err := q.Lease(t.Context(), "janitor", holder, ttl)
		if err != nil || held != want {
			t.Fatalf("lease for %s: %t, %v; want %t", holder, held, err, want)
		}
	}
	f(a, "a", true)
	written := time.Now()
	until(t, "the entry is older than its ttl by any clock", func() bool { return time.Since(written) > 2*ttl })
	f(b, "b", false) // sees it for the first time
	first := time.Now()
	f(a, "a", true) // late, but nobody has taken it
	f(b, "b", false)
	until(t, "b takes over", func() bool {
		held, err := b.Lease(t.Context(), "janitor", "b", ttl)
		if err != nil {
			t.Fatal(err)
		}
		return held
	})
	if waited := time.Since(first); waited < ttl {
		t.Fatalf("taken over after %s of %s", waited, ttl)
	}
	f(a, "a", false) // its revision is not the last
	f(b, "b", true)
	// A process of the same name that was started again has it at once.
	f(openQueue(t, Config{Conn: s, Durability: Process}), "b", true)
	f(b, "b", true)
}

// TestLeaseBucket: settings, room, an entry of somebody else's, and a bucket that
// is deleted under its users.
func TestLeaseBucket(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{MaxStoreBytes: 1 << 20})
	q := openQueue(t, Config{Conn: s, Durability: Process})
	ensure(t, q, "ALL_0", 1<<20) // the whole of what was configured
	lease := func() error {
		held, err := q.Lease(t.Context(), "janitor", "a", time.Hour)
		if err == nil && !held {
			err = errors.New("another holds the lease")
		}
		return err
	}
	if err := lease(); err != nil {
		t.Fatal(err)
	}
	stream, err := q.js.Stream(t.Context(), "KV_"+StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	if c := stream.CachedInfo().Config; c.Storage != jetstream.FileStorage || c.MaxBytes != StateBytes || c.Replicas != 1 || c.MaxMsgsPerSubject != 1 {
		t.Errorf("the bucket is %+v", c)
	}
	if err := q.js.DeleteKeyValue(t.Context(), StateBucket); err != nil {
		t.Fatal(err)
	}
	if err := lease(); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("without the bucket: %v", err)
	}
	if err := lease(); err != nil { // made again
		t.Fatal(err)
	}
	kv, err := q.js.KeyValue(t.Context(), StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "lease.janitor", []byte("scribble")); err != nil {
		t.Fatal(err)
	}
	if err := lease(); err == nil || !strings.Contains(err.Error(), "is not a lease") {
		t.Errorf("with a scribble: %v", err)
	}
	if err := q.Release(t.Context(), "janitor", "a"); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("release of a scribble: %v", err)
	}
	full := openQueue(t, Config{Conn: serve(t, embedded.Config{MaxStoreBytes: 1 << 20}), Durability: Process})
	if _, err := full.js.CreateStream(t.Context(), full.streamConfig(queue.StreamConfig{Name: "ALL_0", MaxBytes: ValueBytes + 2<<20, DedupWindow: time.Minute})); err != nil {
		t.Fatal(err)
	}
	if _, err := full.Lease(t.Context(), "janitor", "a", time.Hour); !errors.Is(err, queue.ErrNoRoom) {
		t.Errorf("without room: %v", err)
	}
}
