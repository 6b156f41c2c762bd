package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/replay"
)

// backend is an OTLP/HTTP destination that takes or rejects all.
type backend struct {
	*httptest.Server
	rejects  atomic.Bool
	replayed atomic.Int64 // requests with the mark of a replay
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if b.rejects.Load() {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.Header.Get(replay.MarkHeader) != "" {
			b.replayed.Add(1)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// upWith runs penstock up with a configuration and returns the addresses of its
// admin port and of OTLP/gRPC.
func upWith(t *testing.T, destinations string, sets ...string) (admin, grpc string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "penstock.yaml")
	write(t, file, "destinations:\n"+destinations)
	var out output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cmd := Root()
	args := []string{"up", "--config", file, "--queue-dir", filepath.Join(dir, "data"), "--set", "queue.max_bytes=64MiB", "--set", "queue.durability=process",
		"--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("up ended with %v", err)
			}
		case <-time.After(60 * time.Second):
			t.Error("up did not stop")
		}
		if t.Failed() {
			t.Log(out.String())
		}
	})
	find := func(pattern string) (found string) {
		until(t, pattern, func() bool {
			m := regexp.MustCompile(pattern).FindStringSubmatch(out.String())
			if m != nil {
				found = m[1]
			}
			return m != nil
		})
		return found
	}
	return find(`look at +http://(\S+)`), find(`OTLP/gRPC +(\S+)`)
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 40 s for %s", what)
		}
	}
}

// wants runs a command line and holds it against a code and patterns.
func wants(t *testing.T, code int, out, errOut string, args ...string) string {
	t.Helper()
	gotCode, gotOut, gotErr := run(t, args...)
	if gotCode != code || !regexp.MustCompile(out).MatchString(gotOut) || !regexp.MustCompile(errOut).MatchString(gotErr) {
		t.Errorf("penstock %s: code %d, want %d\nout, want %q:\n%s\nerr, want %q:\n%s", strings.Join(args, " "), gotCode, code, out, gotOut, errOut, gotErr)
	}
	return gotOut
}

func reads[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	text := wants(t, 0, ``, ``, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("penstock %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return v
}

// TestAnOperatorsDay runs every command against a process that works.
func TestAnOperatorsDay(t *testing.T) {
	b := newBackend(t)
	admin, grpc := upWith(t, "  - {name: backend, protocol: http, endpoints: ['"+b.URL+"'], compression: none}\n")
	f := func(code int, out, errOut string, args ...string) string {
		t.Helper()
		return wants(t, code, out, errOut, append(args, "--admin", admin)...)
	}
	send := func(signal, count string) {
		t.Helper()
		wants(t, 0, `accepted`, ``, "send", "--target", grpc, "--signal", signal, "--count", count)
	}
	exported := func(n uint64) {
		t.Helper()
		until(t, "the ledger to add up", func() bool {
			l := reads[api.Status](t, "status", "--admin", admin).Ledger
			if l == nil {
				return false
			}
			r, _ := l.Row("traces", "backend")
			return r.Exported == n && r.Pending == 0 && l.OK && r.Balance == 0
		})
	}
	send("traces", "300")
	exported(300)

	// The whole picture.
	table := f(0, `(?s)STREAM.*TRACES_0.*DESTINATION.*backend.*PROCESS.*ready.*DISK.*LEDGER.*adds up.*traces +backend +300 +0 +300`, ``, "status")
	for _, line := range strings.Split(table, "\n") {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("longer than 80 characters: %s", line)
		}
	}
	f(0, `TENANT`, ``, "status", "--tenants")
	f(0, `^ok: the sums add up`, ``, "status", "--check")
	f(0, `ledger:`, ``, "status", "-o", "yaml")
	f(2, ``, `one of them`, "status", "--check", "--watch")
	f(0, `backend +all +0`, ``, "destination", "ls")
	f(0, `breaker: closed`, ``, "destination", "ls", "-o", "yaml")

	// Watching.
	if n := strings.Count(f(0, ``, ``, "tap", "traces", "--oldest", "--once", "--limit", "5"), "\n"); n != 5 {
		t.Errorf("tap shows %d lines", n)
	}
	f(0, `"kind":"item".*"otlp"`, ``, "tap", "--since", "-1h", "--once", "--limit", "1", "-o", "json", "--full")
	f(0, `^$`, ``, "tap", "--oldest", "--once", "--service", "nobody")
	f(2, ``, `query.signal`, "tap", "spans", "--once")
	f(2, ``, `want line or json`, "tap", "-o", "xml")
	f(2, ``, `is no time`, "tap", "--since", "yesterday")

	// Replay.
	f(0, `(?s)PENSTOCK_TRACES_0.*300 items`, ``, "replay", "plan", "--destination", "backend", "--signal", "traces")
	f(0, `messages: 3`, ``, "replay", "plan", "--destination", "backend", "--signal", "traces", "-o", "yaml")
	f(0, `(?s)job again is done.*300 items of 3 messages`, `(?s)PENSTOCK_TRACES_0.*no bound|PENSTOCK_TRACES_0`, "replay", "start", "--id", "again", "--destination", "backend", "--signal", "traces")
	if n := b.replayed.Load(); n == 0 {
		t.Error("nothing that was replayed has the mark")
	}
	f(1, ``, `a job of that name exists`, "replay", "start", "--id", "again", "--destination", "backend")
	f(0, `again +replay +done +100 %`, ``, "replay", "status")
	f(0, `job again is done`, ``, "replay", "status", "again")
	f(0, `phase: done`, ``, "replay", "status", "again", "-o", "yaml")
	f(0, `"phase":"done"`, ``, "replay", "status", "again", "--follow", "-o", "json")
	f(1, ``, `no such job`, "replay", "status", "other")
	f(2, ``, `wants the name`, "replay", "status", "--follow")
	f(0, `job slow started`, ``, "replay", "start", "--id", "slow", "--destination", "backend", "--rate", "1KiB", "--detach")
	f(0, `job slow is`, ``, "replay", "pause", "slow")
	until(t, "the pause", func() bool {
		return reads[api.JobView](t, "replay", "status", "slow", "--admin", admin).Phase == job.PhasePaused
	})
	f(0, `job slow is (pending|running)`, ``, "replay", "resume", "slow")
	f(0, `job slow is`, ``, "replay", "cancel", "slow")
	f(1, `cancelled`, `was cancelled`, "replay", "status", "slow", "--follow")
	f(1, ``, `has ended`, "replay", "pause", "slow")
	f(2, ``, `name a configured destination`, "replay", "plan")
	f(2, ``, `--from: "tomorrow" is no time(.|\n)*--rate`, "replay", "plan", "--destination", "backend", "--from", "tomorrow", "--rate", "fast")
	f(2, ``, `want name=reference`, "replay", "plan", "--endpoint", "h:1", "--header", "x")

	// Dead letters.
	b.rejects.Store(true)
	send("traces", "40")
	until(t, "dead letters", func() bool {
		return reads[deadletter.Summary](t, "dlq", "ls", "--summary", "--admin", admin).Items == 40
	})
	f(0, `(?s)SEQUENCE.*backend +rejected +HTTP 400 +traces`, ``, "dlq", "ls")
	f(0, `(?s)40 items.*backend +rejected +traces`, ``, "dlq", "ls", "--summary")
	f(0, `no dead letters`, ``, "dlq", "ls", "--destination", "other", "--since", "-1h", "--until", "now")
	first := reads[api.Letters](t, "dlq", "ls", "--admin", admin, "--limit", "1").Letters[0].Sequence
	f(0, `(?s)destination +backend.*resourceSpans`, ``, "dlq", "show", itoa(first))
	f(0, `reason: rejected`, ``, "dlq", "show", itoa(first), "--no-payload", "-o", "yaml")
	f(1, ``, `dead letter 99999`, "dlq", "show", "99999")
	f(2, ``, `is no sequence`, "dlq", "show", "one")
	f(2, ``, `spans`, "dlq", "ls", "--signal", "spans")
	f(2, ``, `is not before`, "dlq", "purge", "--since", "-1h", "--until", "-2h")
	f(2, ``, `--rate`, "dlq", "redrive", "--rate", "fast")

	f(3, `is done`, `not with all`, "dlq", "redrive", "--sequence", itoa(first)) // it is still rejected
	b.rejects.Store(false)
	f(0, `(?s)is done.*items of`, ``, "dlq", "redrive", "--destination", "backend", "--job", "redriven")
	f(0, `no dead letters`, ``, "dlq", "ls")
	f(0, `nothing to redrive`, ``, "dlq", "redrive", "--destination", "misspelt")
	b.rejects.Store(true)
	send("traces", "10")
	until(t, "dead letters", func() bool {
		return reads[deadletter.Summary](t, "dlq", "ls", "--summary", "--admin", admin).Items == 10
	})
	f(0, `would remove .* 10 items`, ``, "dlq", "purge", "--dry-run")
	f(0, `removed .* 10 items`, ``, "dlq", "purge", "--yes")
	f(0, `removed 0 dead letters`, ``, "dlq", "purge", "--yes")
	b.rejects.Store(false)

	f(0, `adds up`, ``, "ledger", "show")
	f(0, `0 missing items`, ``, "ledger", "forgive", "--yes")

	// A destination in use keeps its place; the ledger still adds up.
	f(1, ``, `configured at up-`, "destination", "drop", "backend", "--yes")
	until(t, "the ledger to add up with what was purged", func() bool {
		code, out, _ := run(t, "status", "--check", "--admin", admin)
		l := reads[api.Status](t, "status", "--admin", admin).Ledger
		r, _ := ledger.Ledger.Row(*l, "traces", "backend")
		return code == 0 && strings.HasPrefix(out, "ok") && r.Purged == 10 && r.Redriven == 40
	})
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
