package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

// TestMain looks for goroutines that are left. A nats-server that is stopped in
// the instant in which a stream is made leaves the two named here; one that is
// not stopped leaves many more.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"))
}

// run is one command line from start to end.
func run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = rolecmd.Main(Root(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestExitCodesAndMessages(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	write(t, bad, "gateway:\n  grpc:\n    lisen: 127.0.0.1:1\n")
	good := filepath.Join(dir, "good.yaml")
	write(t, good, "destinations:\n  - {name: a, protocol: grpc, endpoints: ['h:1'], headers: [{name: x-key, value: tops3cret}]}\n")
	doubted := filepath.Join(dir, "doubted.yaml")
	write(t, doubted, "tenants: {overrides: [{name: trial, destinations: [chep]}]}\ndestinations: [{name: cheap, protocol: debug}]\n")

	f := func(code int, out, errOut string, args ...string) {
		t.Helper()
		gotCode, gotOut, gotErr := run(t, args...)
		if gotCode != code || !regexp.MustCompile(out).MatchString(gotOut) || !regexp.MustCompile(errOut).MatchString(gotErr) {
			t.Errorf("penstock %s: code %d, want %d\nout, want %q:\n%s\nerr, want %q:\n%s", strings.Join(args, " "), gotCode, code, out, gotOut, errOut, gotErr)
		}
	}
	f(0, `Usage:`, ``)
	f(0, `go1\.`, ``, "version")
	f(0, `"go_version": "go1|"go": "go1`, ``, "version", "-o", "json")
	f(0, `go1\.`, ``, "version", "-o", "yaml")
	f(2, ``, `output is "xml": want table, json or yaml`, "version", "-o", "xml")
	f(2, ``, `unknown command "nonsense"`, "nonsense")
	f(2, ``, `unknown flag: --nonsense`, "up", "--nonsense")
	f(2, ``, `.`, "up", "surplus")
	f(0, `configuration is valid \(1 destination`, ``, "config", "validate", good)
	f(0, `is valid`, `warning: tenants\.overrides\[0\]\.destinations\[0\] chep: no destination of that name`, "config", "validate", doubted)
	f(2, ``, `bad\.yaml:3:5: gateway\.grpc\.lisen: unknown key.*"listen"`, "config", "validate", bad)
	f(2, ``, `bad\.yaml:3`, "up", "--config", bad)
	f(2, ``, `no such file`, "gateway", "--config", filepath.Join(dir, "none.yaml"))
	f(2, ``, `shards`, "worker", "--set", "queue.shards=0")
	f(0, `configuration is valid`, ``, "gateway", "--check", "--config", good)
	f(0, `level: debug`, ``, "worker", "--print-config", "--log-level", "debug")
	f(0, `listen: 127\.0\.0\.1:4317`, ``, "config", "print", "--defaults")
	f(0, `"listen": "127\.0\.0\.1:9"`, ``, "config", "print", "-o", "json", "--grpc-listen", "127.0.0.1:9")
	f(2, ``, `output is "toml"`, "config", "print", "-o", "toml")
	f(0, `# Configuration(.|\n)*gateway\.batch\.max_bytes`, ``, "config", "reference")
	f(0, "`queue_full` \\| Unavailable \\| 503", ``, "docs", "errors")
	f(0, "`penstock_commit_seconds`", ``, "docs", "metrics")
	f(0, `## penstock config validate`, ``, "docs", "cli")
	f(0, `(?s)openapi: 3\.1\.0.*/api/v1/tap:`, ``, "docs", "openapi")
	for _, command := range []string{"dlq", "replay", "destination"} {
		f(0, `Available Commands`, ``, command)
		f(2, ``, `unknown command "nope"`, command, "nope")
	}
	for _, args := range [][]string{{"dlq", "ls"}, {"dlq", "show", "1"}, {"dlq", "redrive"}, {"dlq", "purge"}, {"replay", "plan", "--destination", "x"}, {"replay", "start", "--destination", "x"},
		{"replay", "status"}, {"replay", "status", "x"}, {"replay", "pause", "x"}, {"destination", "ls"}, {"destination", "drop", "x", "--yes"}, {"tap"}} {
		f(1, ``, `no answer from the admin port`, append(args, "--admin", "127.0.0.1:1")...)
		if args[0] != "tap" {
			f(2, ``, `output is "xml"`, append(args, "-o", "xml")...)
		}
	}
	f(2, ``, `accepts 1 arg`, "dlq", "show")
	f(2, ``, `--since: "x" is no time`, "dlq", "ls", "--since", "x")
	f(2, ``, `--until: "x" is no time`, "dlq", "ls", "--until", "x")
	f(0, `complet`, ``, "completion", "bash")
	f(2, ``, `unknown signal "spans"`, "send", "--signal", "spans")
	f(2, ``, `protocol is "smtp"`, "send", "--protocol", "smtp")
	f(2, ``, `target is "http://h:1": protocol grpc wants host:port`, "send", "--target", "http://h:1")
	f(2, ``, `output is "xml"`, "send", "-o", "xml")
	f(2, ``, `output is "xml"`, "status", "-o", "xml", "--admin", "127.0.0.1:1")
	f(2, ``, `unknown command "nope" for "penstock docs"`, "docs", "nope")
	f(0, `Available Commands`, ``, "config")
	f(1, ``, `no answer from the admin port`, "status", "--admin", "127.0.0.1:1")
	f(1, ``, `no answer`, "healthcheck", "--admin", "127.0.0.1:1")

	if _, out, _ := run(t, "config", "print", "--config", good); strings.Contains(out, "tops3cret") || !strings.Contains(out, "redacted") {
		t.Errorf("the printed configuration has the secret, or does not say that it is redacted:\n%s", out)
	}
	_, schema, _ := run(t, "config", "schema")
	if !json.Valid([]byte(schema)) {
		t.Errorf("the schema is not JSON:\n%s", schema)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// output may be read while a command writes it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// TestUpDemo is the newcomer's first minute, on free ports.
func TestUpDemo(t *testing.T) {
	var out, errOut output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cmd := Root()
	cmd.SetArgs([]string{"up", "--demo", "--queue-dir", filepath.Join(t.TempDir(), "data"), "--set", "queue.max_bytes=64MiB",
		"--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"})
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	defer cancel()
	find := func(pattern string) string {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(errOut.String() + out.String()); m != nil {
				return m[len(m)-1]
			}
		}
		t.Fatalf("waited two minutes for %q in:\n%s\n%s", pattern, errOut.String(), out.String())
		return ""
	}
	find(`Penstock is up`)
	admin := find(`look at +http://(\S+)`)
	grpc := find(`OTLP/gRPC +(\S+)`)
	find(`debug: .*spans`) // the summary of the debug destination
	find(`alert fires.*DemoBoilerHot`)

	code, o, e := run(t, "healthcheck", "--admin", admin)
	if code != 0 {
		t.Errorf("healthcheck: %d %s %s", code, o, e)
	}
	if code, o, e = run(t, "healthcheck", "--live", "--admin", admin); code != 0 {
		t.Errorf("healthcheck --live: %d %s %s", code, o, e)
	}
	code, o, e = run(t, "send", "--target", grpc, "--count", "200", "--signal", "traces,logs", "--compression", "snappy", "-o", "json")
	if code != 0 {
		t.Fatalf("send: %d %s %s", code, o, e)
	}
	var sent Sent
	if err := json.Unmarshal([]byte(o), &sent); err != nil || sent.Accepted["spans"] != 200 || sent.Accepted["log_records"] != 200 {
		t.Errorf("send said %s (%v), want 200 of both", o, err)
	}
	if code, o, e = run(t, "send", "--target", grpc, "--count", "10", "--signal", "metrics"); code != 0 || !strings.Contains(o, "accepted 10 metric points") {
		t.Errorf("send: %d %s %s", code, o, e)
	}
	for _, format := range []string{"table", "json", "yaml"} {
		code, o, e = run(t, "status", "--admin", admin, "-o", format)
		if code != 0 || !strings.Contains(o, "traces") || !strings.Contains(o, "TRACES_0") {
			t.Errorf("status -o %s: %d %s %s", format, code, o, e)
		}
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("up ended with %v", err)
		}
		find(`at the end: accepted \d+`)
	case <-time.After(60 * time.Second):
		t.Fatal("up did not stop")
	}
}

func TestLiveLineStaysBelowWhatScrolls(t *testing.T) {
	var b bytes.Buffer
	l := &live{terminal: true, width: 20, out: &b}
	l.show("one line that is much too long for it")
	if _, err := l.Write([]byte("text\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.above(&b).Write([]byte("more\n")); err != nil {
		t.Fatal(err)
	}
	want := clear + "one line that is mu" + clear + "text\n" + "one line that is mu" + clear + "more\n" + "one line that is mu"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
	b.Reset()
	plain := newLive(&b)
	plain.show("nothing")
	if _, err := plain.Write([]byte("text\n")); err != nil || b.String() != "text\n" {
		t.Errorf("away from a terminal: %q, %v", b.String(), err)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 999: "999", 9999: "9999", 12345: "12.3k", 4.56e6: "4.56M", 7e9: "7.00G"} {
		if got := count(n); got != want {
			t.Errorf("count(%g) is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 3 << 20: "3.0 MiB", 5 << 30: "5.0 GiB", 1 << 41: "2.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%g) is %q, want %q", n, got, want)
		}
	}
	for listen, want := range map[string]string{":1": "127.0.0.1:1", "0.0.0.0:2": "127.0.0.1:2", "[::]:3": "127.0.0.1:3", "10.0.0.1:4": "10.0.0.1:4", "x": "x"} {
		if got := loopback(listen); got != want {
			t.Errorf("loopback(%q) is %q, want %q", listen, got, want)
		}
	}
}

// TestSendSaysWhyItWaits has nobody at the other end.
func TestSendSaysWhyItWaits(t *testing.T) {
	code, out, errOut := run(t, "send", "--target", "127.0.0.1:1", "--count", "5", "--signal", "logs", "--timeout", "300ms")
	if code != 1 || !strings.Contains(out, "accepted 0 log records") || !strings.Contains(errOut, "127.0.0.1:1") ||
		!strings.Contains(errOut, "sending again") || !strings.Contains(errOut, "given up after 300ms") {
		t.Errorf("code %d\n%s\n%s", code, out, errOut)
	}
}
