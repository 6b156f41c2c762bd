package role

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestAuditTakesTheRoomThatIsLeft: a server of its own with room for the streams and
// the buckets, and for nothing else, is one on which a gateway starts. The audit
// stream comes last, and that it finds no room is no matter of anybody else.
func TestAuditTakesTheRoomThatIsLeft(t *testing.T) {
	const budget = 64 << 20
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: budget, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	p, log := process(t, "queue.url="+s.ClientURL(), "queue.dir=", "queue.durability=process")
	p.Server = nil
	r := start(t, func(ctx context.Context) error { return Gateway(ctx, p) })
	eventually(t, "it is ready", func() bool {
		if len(r.done) > 0 {
			err := <-r.done
			r.done = nil
			t.Fatalf("it did not start: %v", err)
		}
		return strings.Contains(log.String(), `"msg":"ready"`)
	})
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(err)
	}
	plan := topology.Plan{Shards: 1}
	defer q.Close() //nolint:errcheck // the test is done with it
	for _, name := range plan.AllStreams() {
		if _, err := q.StreamState(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if _, err := q.Save(t.Context(), "room", []byte("value"), queue.AnyRevision); err != nil {
		t.Errorf("the bucket of values: %v", err)
	}
	if held, err := q.Lease(t.Context(), "room", "test", time.Second); !held || err != nil {
		t.Errorf("the bucket of leases: %t, %v", held, err)
	}
	r.end(t)
}
