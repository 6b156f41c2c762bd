package topology

import (
	"context"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Audit is the stream of the audit entries; package audit has their form. It is in
// no Plan: any process makes it, and what it holds is nobody's telemetry.
const Audit = "PENSTOCK_AUDIT"

// AuditBytes is what it may take, beside Plan.MaxBytes: a queue that was made
// without it has given all of those to its streams.
const AuditBytes = 64 << 20

// EnsureAudit makes the audit stream, smaller where the store has no room for all
// of it. One that exists keeps its size.
func EnsureAudit(ctx context.Context, q queue.Provisioner) error {
	return ensureBeside(ctx, q, Audit, AuditBytes)
}
