package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Audit is the stream of the audit entries; package audit has their form. It is in
// no Plan: any process makes it, and what it holds is nobody's telemetry.
const Audit = "PENSTOCK_AUDIT"

// AuditBytes is what it may take, beside Plan.MaxBytes: a queue that was made
// without it has given all of those to its streams.
const AuditBytes = 64 << 20

// leastAuditBytes is what is still worth having where there is no room for more.
const leastAuditBytes = 4 << 20

// EnsureAudit makes the audit stream, smaller where the store has no room for all
// of it. One that exists keeps its size.
func EnsureAudit(ctx context.Context, q queue.Provisioner) error {
	var err error
	for size := int64(AuditBytes); size >= leastAuditBytes; size /= 4 {
		st, missing := q.StreamState(ctx, Audit)
		switch {
		case missing == nil:
			size = st.MaxBytes // of whoever made it, here or while this found no room
		case !errors.Is(missing, queue.ErrNotFound):
			return fmt.Errorf("look for stream %s: %w", Audit, missing)
		}
		err = q.EnsureStream(ctx, queue.StreamConfig{Name: Audit, MaxBytes: size, DedupWindow: dedupWindow})
		if !errors.Is(err, queue.ErrNoRoom) || missing == nil {
			break
		}
	}
	switch {
	case errors.Is(err, queue.ErrNoRoom):
		return fmt.Errorf("make stream %s of %d bytes beside queue.max_bytes: %w; lower queue.max_bytes or give the server a larger store", Audit, leastAuditBytes, err)
	case err != nil:
		return fmt.Errorf("make stream %s: %w", Audit, err)
	}
	return nil
}
