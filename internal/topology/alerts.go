package topology

import (
	"context"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Alerts is the stream of what happens to alerts; package journal has its form. Like
// Audit it is in no Plan: the alerters make it.
const Alerts = "PENSTOCK_ALERTS"

// AlertsBytes is what it may take, beside Plan.MaxBytes.
const AlertsBytes = 64 << 20

// BesideBytes are of all streams that are in no Plan.
const BesideBytes = AuditBytes + AlertsBytes

// EnsureAlerts makes the stream of the alerts as EnsureAudit does that of the audit
// entries.
func EnsureAlerts(ctx context.Context, q queue.Provisioner) error {
	return ensureBeside(ctx, q, Alerts, AlertsBytes)
}
