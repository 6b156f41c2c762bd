package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/audit"
)

// TestAuditCommands asks a running Penstock who operated, and walks along its
// chain.
func TestAuditCommands(t *testing.T) {
	admin, _ := upWith(t, `  - {name: disk, protocol: debug, endpoints: []}`+"\n")
	if code, out, _ := run(t, "dlq", "purge", "--yes", "--admin", admin); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	if code, _, _ := run(t, "dlq", "show", "7", "--admin", admin); code != 1 {
		t.Fatalf("a letter that is not there: %d", code)
	}
	var page api.AuditEntries
	until(t, "the failure is recorded", func() bool {
		code, out, errOut := run(t, "audit", "ls", "--action", "dead letter", "--outcome", "failed", "--since", "-1h", "-o", "json", "--admin", admin)
		if code != 0 {
			t.Fatalf("%d %s", code, errOut)
		}
		if err := json.Unmarshal([]byte(out), &page); err != nil {
			t.Fatal(err)
		}
		return len(page.Entries) == 1
	})
	if e := page.Entries[0].Event; e.Action != "show dead letter" || e.Subject != "anonymous" || !strings.HasPrefix(e.Process, "up-") {
		t.Errorf("%+v", e)
	}
	code, out, _ := run(t, "audit", "ls", "--admin", admin)
	if code != 0 || !strings.HasPrefix(out, "N ") || !strings.Contains(out, "process started") || !strings.Contains(out, "sequence=7") {
		t.Errorf("%d\n%s", code, out)
	}
	for _, limit := range []string{"0", "5000"} {
		if code, all, _ := run(t, "audit", "ls", "--limit", limit, "--admin", admin); code != 0 || all != out {
			t.Errorf("--limit %s: %d\n%s", limit, code, all)
		}
	}
	if code, out, _ := run(t, "audit", "ls", "--until", "-1d", "--admin", admin); code != 0 || out != "no audit entries\n" {
		t.Errorf("%d %q", code, out)
	}

	var r audit.Report
	code, out, errOut := run(t, "audit", "verify", "-o", "json", "--admin", admin)
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || !r.OK || r.Head.N < 2 {
		t.Fatalf("%d %s %s: %v", code, out, errOut, err)
	}
	code, out, _ = run(t, "audit", "verify", "--head", r.Head.String(), "--admin", admin)
	if code != 0 || !strings.Contains(out, "the chain holds") || !strings.Contains(out, "is as it was") || !strings.Contains(out, "head: ") {
		t.Errorf("%d\n%s", code, out)
	}
	code, out, errOut = run(t, "audit", "verify", "--head", "99999:"+r.Head.Hash, "--admin", admin)
	if code != 3 || !strings.Contains(out, "THE CHAIN IS BROKEN") || !strings.Contains(out, "cut: the chain ends at entry ") || !strings.Contains(errOut, "broken at 1 place") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	other := audit.Head{N: 1, Hash: strings.Repeat("0", 64)}
	if code, out, _ := run(t, "audit", "verify", "--head", other.String(), "-o", "yaml", "--admin", admin); code != 3 || !strings.Contains(out, "kind: rewritten") {
		t.Errorf("%d\n%s", code, out)
	}
	for _, args := range [][]string{{"verify", "--head", "12"}, {"ls", "--since", "soon"}, {"ls", "--limit", "-1"}, {"ls", "--outcome", "good"}, {"ls", "-o", "xml"}} {
		if code, _, errOut := run(t, append(append([]string{"audit"}, args...), "--admin", admin)...); code != 2 || errOut == "" {
			t.Errorf("%v: %d %s", args, code, errOut)
		}
	}
}

// TestAuditTable names who did something, and never a process as who was refused
// by it.
func TestAuditTable(t *testing.T) {
	long := "POST /-/reload needs the role admin, and key:oncall has view,operate: use a credential with that role"
	f := func(e audit.Event, want ...string) {
		t.Helper()
		var b strings.Builder
		e.Process = "up-host-abc"
		if err := auditTable(&b, []audit.Item{{N: 7, Event: e}}, false); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(b.String(), text) {
				t.Errorf("%q is not in %q", text, b.String())
			}
		}
		if e.Outcome == audit.Refused && strings.Contains(b.String(), e.Process) {
			t.Errorf("a process is shown as refused: %q", b.String())
		}
	}
	f(audit.Event{Action: "process started", Outcome: audit.Done}, "process started        up-host-abc ")
	f(audit.Event{Action: audit.Authenticate, Outcome: audit.Refused, Reason: "missing", Peer: "192.0.2.1:5", Listener: "otlp_http"},
		"authenticate           –  ", "missing, from 192.0.2.1:5, at otlp_http")
	f(audit.Event{Action: audit.Authenticate, Outcome: audit.Refused, Reason: "expired", Subject: "key:old"}, " key:old? ")
	f(audit.Event{Action: audit.Authorize, Outcome: audit.Refused, Subject: "key:oncall", Method: "api_key", Details: []audit.Detail{{Name: "message", Value: long}}},
		" key:oncall ", "message="+long)
}
