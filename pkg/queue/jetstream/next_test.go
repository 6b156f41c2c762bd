package jetstream

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestNextConfirmationLost: what was stored is found out, and is stored once.
func TestNextConfirmationLost(t *testing.T) {
	t.Parallel()
	var lose atomic.Int32
	q := through(t, Config{PublishTimeout: 300 * time.Millisecond}, func(_ *proxy, _ *conn, toServer bool, o op) bool {
		return !isConfirmation(toServer, o) || lose.Add(-1) < 0
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20)
	for last := range uint64(3) {
		lose.Store(int32(last))
		r, err := q.PublishNext(t.Context(), "PENSTOCK_NET_0", &queue.Message{ID: fmt.Sprint(last), Body: []byte("x")}, last)
		if err != nil || r.Sequence != last+1 || r.Duplicate != (last > 0) {
			t.Fatalf("after %d: %+v, %v", last, r, err)
		}
	}
	if st, err := q.StreamState(t.Context(), "PENSTOCK_NET_0"); err != nil || st.Messages != 3 {
		t.Fatalf("%+v, %v", st, err)
	}
}

// TestNextOvertaken: a confirmation was lost, and others have added and purged
// before the next try. What is at the place tells whose it is; where that is gone
// nothing is claimed.
func TestNextOvertaken(t *testing.T) {
	t.Parallel()
	const stream = "PENSTOCK_NET_0"
	var meanwhile atomic.Pointer[func() error]
	s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
	other := openQueue(t, Config{Conn: s, Durability: Process})
	p := newProxy(t, s.ClientURL(), func(_ *proxy, _ *conn, toServer bool, o op) bool {
		do := meanwhile.Load()
		if do == nil || !isConfirmation(toServer, o) || !meanwhile.CompareAndSwap(do, nil) {
			return true
		}
		if err := (*do)(); err != nil {
			t.Error(err)
		}
		return false
	})
	q := openTuned(t, Config{URL: p.URL, Durability: Process, PublishTimeout: time.Second}, quick)
	ensure(t, q, stream, 1<<20)
	add := func() error {
		_, err := other.Publish(t.Context(), stream, &queue.Message{ID: "theirs"})
		return err
	}
	meanwhile.Store(&add)
	if r, err := q.PublishNext(t.Context(), stream, &queue.Message{ID: "ours"}, 0); err != nil || r.Sequence != 1 || !r.Duplicate {
		t.Fatalf("%+v, %v", r, err)
	}
	purge := func() error { return other.Purge(t.Context(), stream, 3) }
	meanwhile.Store(&purge)
	if r, err := q.PublishNext(t.Context(), stream, &queue.Message{ID: "gone"}, 2); !errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrConflict) {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := q.PublishNext(t.Context(), stream, &queue.Message{ID: "late"}, 2); !errors.Is(err, queue.ErrConflict) {
		t.Fatal(err)
	}
}

// TestNextWithoutServer: it gives up, and says that it does not know.
func TestNextWithoutServer(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
	q := openTuned(t, Config{URL: s.ClientURL(), Durability: Process, PublishTimeout: 200 * time.Millisecond, PublishHorizon: time.Second}, quick)
	ensure(t, q, "PENSTOCK_NET_0", 1<<20)
	shutdown(t, s)
	if _, err := q.PublishNext(t.Context(), "PENSTOCK_NET_0", &queue.Message{ID: "a"}, 0); !errors.Is(err, queue.ErrUnavailable) {
		t.Fatal(err)
	}
}
