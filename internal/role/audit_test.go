package role

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/fleet"
)

// TestAuditOfProcesses has a gateway and a worker over one queue: both write one
// chain, which tells of their start, of what was done at them and who was refused,
// and of their stop.
func TestAuditOfProcesses(t *testing.T) {
	port, at := freePort(t), map[string]string{fleet.RoleGateway: freePort(t), fleet.RoleWorker: freePort(t)}
	gp, glog := process(t, "queue.listen="+port, "queue.token=s3cret-token", "gateway.grpc.listen="+freePort(t), "admin.listen="+at[fleet.RoleGateway])
	start(t, func(ctx context.Context) error { return Gateway(ctx, gp) })
	eventually(t, "the gateway is ready", func() bool { return strings.Contains(glog.String(), `"msg":"ready"`) })
	wp, wlog := process(t, "queue.url=nats://"+port, "queue.token=s3cret-token", "admin.listen="+at[fleet.RoleWorker])
	w := start(t, func(ctx context.Context) error { return Worker(ctx, wp) })
	eventually(t, "the worker is ready", func() bool { return strings.Contains(wlog.String(), `"msg":"ready"`) })

	// An action at the worker, and one that is refused there.
	if _, err := admin.Ask(t.Context(), http.MethodGet, at[fleet.RoleWorker], api.Prefix+"/dlq/7", nil); err == nil {
		t.Fatal("there is a letter")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at[fleet.RoleWorker]+api.Prefix+"/dlq/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "192.0.2.7")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatal(resp.Status, err)
	}
	http.DefaultClient.CloseIdleConnections()
	w.end(t)

	has := func(role, action, outcome string) func(audit.Item) bool {
		return func(i audit.Item) bool {
			return strings.HasPrefix(i.Event.Process, role+"-") && i.Event.Action == action && i.Event.Outcome == outcome
		}
	}
	eventually(t, "all is in the chain", func() bool {
		p := asks[api.AuditEntries](t, at[fleet.RoleGateway], http.MethodGet, "/audit", nil)
		for _, f := range []func(audit.Item) bool{has("gateway", "process started", "done"), has("worker", "process started", "done"), has("worker", "show dead letter", "failed"),
			has("worker", audit.Authorize, "refused"), has("worker", "process stopped", "done")} {
			if !slices.ContainsFunc(p.Entries, f) {
				return false
			}
		}
		return true
	})
	if err := verifies(t, at[fleet.RoleGateway]); err != nil {
		t.Error(err)
	}
}

// verifies asks a process to walk along the chain.
func verifies(t *testing.T, addr string) error {
	t.Helper()
	l := asks[api.VerifyLine](t, addr, http.MethodGet, "/audit/verify", nil)
	if l.Report == nil || !l.Report.OK || l.Report.Entries < 5 {
		return errors.New("the chain does not hold")
	}
	return nil
}
