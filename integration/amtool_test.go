package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// TestAmtoolAtAnyReplica: an alert is added at one alerter, seen and silenced at another,
// told to its receiver, and ends where it is posted as over.
func TestAmtoolAtAnyReplica(t *testing.T) {
	tool, err := exec.LookPath("amtool")
	if err != nil {
		t.Fatalf("this test asks with amtool: install Debian's package prometheus-alertmanager, as scripts/test.sh does: %v", err)
	}
	phone, redis, home := harness.NewPhone(t), harness.NewRedis(t), t.TempDir()
	routes := filepath.Join(home, "alertmanager.yml")
	if err := os.WriteFile(routes, fmt.Appendf(nil, "route: {receiver: phone, group_wait: 200ms, group_interval: 1s}\nreceivers: [{name: phone, webhook_configs: [{url: %q}]}]\n", phone.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "process", MaxBytes: "1GiB"}, "")
	gateway.Start()
	q := harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "process", MaxBytes: "1GiB"}
	var all []*harness.Role
	for range 2 {
		r := harness.NewAlerter(t, q, fmt.Sprintf("alerter: {alertmanager: %q, redis: {addrs: [%q]}}\n", routes, redis.Addr))
		r.Start()
		all = append(all, r)
	}
	ask := func(at int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), tool, append([]string{"--alertmanager.url=http://" + all[at].AdminAddr, "--no-version-check"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+home)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("amtool %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	sees := func(at int, what, text string, args ...string) {
		t.Helper()
		harness.Until(t, 2*time.Minute, func() string { return what }, func() bool { return strings.Contains(ask(at, args...), text) })
	}
	ask(0, "alert", "add", "Disk", "node=a", "--annotation=summary=it is full")
	sees(1, "the other one has the alert", "it is full", "alert", "query", "node=a")
	harness.Until(t, 2*time.Minute, func() string { return "the phone rings" }, func() bool { return phone.Count("firing", "node")["a"] > 0 })
	ask(1, "silence", "add", "node=a", "--author=ann", "--comment=is being replaced")
	sees(0, "it is silenced at the first one too", "suppressed", "alert", "query", "--silenced")
	ask(1, "alert", "add", "Disk", "node=a", "--end="+time.Now().Add(-time.Second).Format(time.RFC3339), "--start="+time.Now().Add(-time.Minute).Format(time.RFC3339))
	harness.Until(t, 2*time.Minute, func() string { return "the phone is told of the end, silenced or not" }, func() bool { return phone.Count("resolved", "node")["a"] > 0 })
	if n := phone.Count("firing", "node")["a"]; n != 1 {
		t.Errorf("the phone has rung %d times", n)
	}
	for _, r := range all {
		r.Terminate()
	}
}
