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

func auditBytes(t *testing.T, q queue.Provisioner) int64 {
	t.Helper()
	st, err := q.StreamState(t.Context(), topology.Audit)
	if err != nil {
		t.Fatal(err)
	}
	return st.MaxBytes
}

// TestAuditBesideAFullStore: what was made before has all of the store, and the
// audit stream takes what is left, or is refused and spoils nothing.
func TestAuditBesideAFullStore(t *testing.T) {
	for beside, want := range map[int64]int64{topology.AuditBytes: topology.AuditBytes, 20 << 20: 16 << 20, 5 << 20: 4 << 20, 1 << 20: 0} {
		s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 64 << 20, BesideBytes: beside})
		if err != nil {
			t.Fatal(err)
		}
		q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
		if err != nil {
			t.Fatal(err)
		}
		// The buckets' room is not the audit stream's.
		for name, size := range map[string]int64{"TAKEN": 48 << 20, "PENSTOCK_DLQ": 64 << 20} {
			if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: name, MaxBytes: size}); err != nil {
				t.Fatal(err)
			}
		}
		err = topology.EnsureAudit(t.Context(), q)
		if want == 0 {
			if !errors.Is(err, queue.ErrNoRoom) {
				t.Errorf("with %d bytes beside: %v", beside, err)
			}
		} else if err != nil || auditBytes(t, q) != want {
			t.Errorf("with %d bytes beside: %d, %v; want %d", beside, auditBytes(t, q), err, want)
		}
		if err := errors.Join(q.Close(), s.Shutdown(context.WithoutCancel(t.Context()))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAuditKeepsItsSize: what an operator gave it stays.
func TestAuditKeepsItsSize(t *testing.T) {
	q := realQueue(t, 1<<30)
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.Audit, MaxBytes: 200 << 20}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := topology.EnsureAudit(t.Context(), q); err != nil || auditBytes(t, q) != 200<<20 {
			t.Fatalf("%d, %v", auditBytes(t, q), err)
		}
	}
}
