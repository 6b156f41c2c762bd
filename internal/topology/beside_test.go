package topology_test

import (
	"context"
	"errors"
	"testing"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// beside are the streams that are in no plan.
var beside = map[string]func(context.Context, queue.Provisioner) error{topology.Audit: topology.EnsureAudit, topology.Alerts: topology.EnsureAlerts}

func streamBytes(t *testing.T, q queue.Provisioner, name string) int64 {
	t.Helper()
	st, err := q.StreamState(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return st.MaxBytes
}

// TestBesideAFullStore: what was made before has all of the store, and a stream beside
// takes what is left, or is refused and spoils nothing.
func TestBesideAFullStore(t *testing.T) {
	for name, ensure := range beside {
		t.Run(name, func(t *testing.T) { besideAFullStore(t, name, ensure) })
	}
}

func besideAFullStore(t *testing.T, name string, ensure func(context.Context, queue.Provisioner) error) {
	for room, want := range map[int64]int64{topology.AuditBytes: topology.AuditBytes, 20 << 20: 16 << 20, 5 << 20: 4 << 20, 1 << 20: 0} {
		s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 64 << 20, BesideBytes: room})
		if err != nil {
			t.Fatal(err)
		}
		q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
		if err != nil {
			t.Fatal(err)
		}
		// The buckets' room is not the audit stream's.
		for taken, size := range map[string]int64{"TAKEN": 48 << 20, "PENSTOCK_DLQ": 64 << 20} {
			if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: taken, MaxBytes: size}); err != nil {
				t.Fatal(err)
			}
		}
		err = ensure(t.Context(), q)
		if want == 0 {
			if !errors.Is(err, queue.ErrNoRoom) {
				t.Errorf("with %d bytes beside: %v", room, err)
			}
		} else if err != nil || streamBytes(t, q, name) != want {
			t.Errorf("with %d bytes beside: %d, %v; want %d", room, streamBytes(t, q, name), err, want)
		}
		if err := errors.Join(q.Close(), s.Shutdown(context.WithoutCancel(t.Context()))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBesideKeepsItsSize: what an operator gave it stays.
func TestBesideKeepsItsSize(t *testing.T) {
	q := realQueue(t, 1<<30)
	for name, ensure := range beside {
		if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: name, MaxBytes: 200 << 20}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := ensure(t.Context(), q); err != nil || streamBytes(t, q, name) != 200<<20 {
				t.Fatalf("%d, %v", streamBytes(t, q, name), err)
			}
		}
	}
}
