package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/reload"
)

// TestReload has a real process read its file again by the command: the start's
// flags still win, what changed is printed, and a refusal is exit code 1 with every
// problem.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	file, admin := filepath.Join(dir, "penstock.yaml"), freePort(t)
	write(t, file, "log: {level: info}\nqueue: {max_bytes: 64MiB, durability: process}\n")
	starts(t, "up", "--config", file, "--queue-dir", filepath.Join(dir, "data"), "--set", "replay.jobs=3",
		"--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--admin-listen", admin)
	ready(t, admin)
	f := func(text string, wantCode int, want string, args ...string) (out string) {
		t.Helper()
		write(t, file, text)
		code, out, errOut := run(t, append([]string{"reload", "--admin", admin}, args...)...)
		if code != wantCode || !strings.Contains(out, want) {
			t.Errorf("exit code %d, want %d with %q:\n%s%s", code, wantCode, want, out, errOut)
		}
		return out
	}
	f("log: {level: info}\nqueue: {max_bytes: 64MiB, durability: process}\n", 0, "nothing differs from what runs")
	f("log: {level: debug}\nqueue: {max_bytes: 65MiB, dir: elsewhere, durability: process}\nreplay: {jobs: 2}\n", 0,
		"changed, and in effect:\n  log.level\nchanged, and waiting for a restart:\n  queue.max_bytes\nconfiguration ") // dir and jobs are flags
	f("log: {level: debug}\nqueue: {max_bytes: 64MiB, durability: procss}\nx: 1\n", 1,
		file+":2:39: queue.durability: want one of strict, process, replicated; got \"procss\"; did you mean \"process\"?\n"+file+":3:1: x: unknown key")
	var a reload.Answer
	if err := json.Unmarshal([]byte(f("x: 1\n", 1, "", "-o", "json")), &a); err != nil || a.Outcome != reload.Refused || len(a.Problems) != 1 || a.Problems[0].Line != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	a = reload.Answer{}
	if err := json.Unmarshal([]byte(f("log: {level: warn}\nqueue: {max_bytes: 64MiB, durability: process}\n", 0, "", "-o", "json")), &a); err != nil ||
		a.Outcome != reload.Applied || !slices.Equal(a.Applied, []string{"log.level"}) || len(a.Waiting) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if code, _, _ := run(t, "reload", "--admin", admin, "-o", "xml"); code != 2 {
		t.Errorf("exit code %d for a format that is none", code)
	}
}

// What is no answer to a reload is not taken for one.
func TestReloadOfSomethingElse(t *testing.T) {
	f := func(status int, body, want string) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != "/-/reload" {
				t.Errorf("asked %s %s", r.Method, r.URL.Path)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		defer s.Close()
		code, out, errOut := run(t, "reload", "--admin", s.URL)
		if code != 1 || out != "" || !strings.Contains(errOut, want) {
			t.Errorf("%d %s: exit code %d, %q, %q", status, body, code, out, errOut)
		}
	}
	f(403, `{"title":"Forbidden","status":403,"detail":"not you"}`, "not you")
	f(503, `{"title":"Service Unavailable","status":503,"detail":"the process starts"}`, "the process starts")
	f(404, "nothing here", "HTTP 404: nothing here")
	f(200, "ok", "not that of this version")
	f(200, `{}`, "not that of this version")
	if code, _, errOut := run(t, "reload", "--admin", freePort(t)); code != 1 || errOut == "" {
		t.Errorf("nobody there: exit code %d, %q", code, errOut)
	}
}
