package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// role is a whole process with an admin port, until the test ends.
type role struct {
	*Server
	t       *testing.T
	app     *app.App
	release chan struct{} // closed: the start goes on
	end     func() error
}

// start runs a role whose start waits for release, unless it is closed.
func start(t *testing.T, o Options) *role {
	t.Helper()
	r := &role{t: t, release: make(chan struct{})}
	r.app = app.New("test", slog.New(slog.DiscardHandler))
	if o.Config.Listen == "" {
		o.Config.Listen = "127.0.0.1:0"
	}
	o.Registry, o.State, o.Logger = prometheus.NewRegistry(), r.app.State(), slog.New(slog.DiscardHandler)
	var err error
	if r.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		done <- r.app.Run(ctx, func(ctx context.Context, a *app.App) error {
			r.Start(a)
			select {
			case <-r.release:
			case <-ctx.Done():
			}
			return nil
		})
	})
	r.end = sync.OnceValue(func() error { cancel(); wg.Wait(); return <-done })
	t.Cleanup(func() {
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func started(t *testing.T, o Options) *role {
	t.Helper()
	r := start(t, o)
	r.goOn()
	return r
}

func (r *role) goOn() {
	r.t.Helper()
	close(r.release)
	r.until(app.Ready)
}

func (r *role) until(p app.Phase) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); r.app.State().Phase() != p; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("is %s, not %s", r.app.State().Phase(), p)
		}
	}
}

// ask makes a request and returns the status and the body.
func (r *role) ask(method, path string, header ...string) (int, string, http.Header) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.Addr()+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func (r *role) says(path string, status int, body string) {
	r.t.Helper()
	if gotStatus, got, _ := r.ask(http.MethodGet, path); gotStatus != status || got != body {
		r.t.Errorf("%s says %d\n%s\nwant %d\n%s", path, gotStatus, got, status, body)
	}
}

func TestProbesFollowTheLifeOfTheProcess(t *testing.T) {
	r := start(t, Options{})
	r.says("/livez", 200, "ok\n")
	r.says("/startupz", 503, "starting\n")
	r.says("/readyz", 503, "[-] state: starting\nnot ready\n")
	r.goOn()
	r.says("/startupz", 200, "ok: ready\n")
	r.says("/readyz", 200, "ok\n")
	r.says("/readyz?verbose", 200, "[+] state ok\nready\n")

	release := make(chan struct{})
	r.app.OnStop("holds the stop", 20*time.Second, func(context.Context) error { <-release; return nil })
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.end() })
	r.until(app.Draining)
	r.says("/readyz", 503, "[-] state: draining\nnot ready\n")
	r.says("/startupz", 200, "ok: draining\n")
	r.says("/livez", 200, "ok\n")
	close(release)
	wg.Wait()
	if _, err := Get(t.Context(), r.Addr(), "/livez"); err == nil {
		t.Error("still answers after the stop")
	}
}

func TestReadinessListsEveryCheck(t *testing.T) {
	r := started(t, Options{})
	var mu sync.Mutex
	var why error
	r.AddCheck("queue", func(context.Context) error { mu.Lock(); defer mu.Unlock(); return why })
	r.AddCheck("disk", func(context.Context) error { return nil })
	r.says("/readyz?verbose", 200, "[+] state ok\n[+] queue ok\n[+] disk ok\nready\n")
	mu.Lock()
	why = errors.Join(errors.New("no leader"), errors.New("no server"))
	mu.Unlock()
	r.says("/readyz", 503, "[+] state ok\n[-] queue: no leader; no server\n[+] disk ok\nnot ready\n")
	r.says("/livez", 200, "ok\n") // a dead peer is no reason to restart
	status, body, header := r.ask(http.MethodGet, "/readyz", "Accept", "application/json")
	var got Readiness
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 503 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v\n%s", status, err, body)
	}
	if got.Ready || got.Phase != "ready" || len(got.Checks) != 2 || got.Checks[0].Error != "no leader\nno server" || !got.Checks[1].OK {
		t.Errorf("%+v", got)
	}
}

// A check that hangs or panics is an answer in its place; many requests share
// the one call that hangs.
func TestForeignCodeTakesNothingDown(t *testing.T) {
	r := started(t, Options{})
	release := make(chan struct{})
	var calls atomic.Int32
	r.AddCheck("hangs", func(context.Context) error { calls.Add(1); <-release; return nil })
	r.AddCheck("panics", func(context.Context) error { panic("oh") })
	r.AddStatus("panics", func(context.Context) any { panic("oh") })
	r.AddStatus("cannot be encoded", func(context.Context) any { return func() {} })
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			status, body, _ := r.ask(http.MethodGet, "/readyz")
			if status != 503 || !strings.Contains(body, "[-] hangs: no answer after 3") || !strings.Contains(body, "[-] panics: panic: oh") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	wg.Wait()
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if got := r.Readiness(cut); got.Checks[0].Error != "context canceled" {
		t.Errorf("a client that went away gets %+v", got)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the check that hangs was called %d times", n)
	}
	close(release)
	if got := r.Status(t.Context()).Sections; got[0].Error != "panic: oh" || !strings.Contains(got[1].Error, "unsupported type") {
		t.Errorf("status says %+v", got)
	}
}

func TestMetrics(t *testing.T) {
	r := started(t, Options{BuildInfo: app.BuildInfo{Version: "v1", Commit: "abc", GoVersion: "go1"}})
	_, body, _ := r.ask(http.MethodGet, "/metrics")
	for _, want := range []string{
		`penstock_build_info{commit="abc",go_version="go1",version="v1"} 1`, "penstock_ready 1", "go_goroutines ", "process_cpu_seconds_total ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %s", want)
		}
	}
	_, body, header := r.ask(http.MethodGet, "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if !strings.Contains(header.Get("Content-Type"), "openmetrics") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("not OpenMetrics: %s", header.Get("Content-Type"))
	}
	problems, err := testutil.GatherAndLint(r.o.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if own := strings.HasPrefix(p.Metric, "penstock_"); own {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	waiting := start(t, Options{})
	if _, body, _ := waiting.ask(http.MethodGet, "/metrics"); !strings.Contains(body, "penstock_ready 0") {
		t.Error("is ready while it starts")
	}
}

func TestConfigIsPrintedByItsOwner(t *testing.T) {
	var b strings.Builder
	if err := started(t, Options{}).Config(&b, "yaml"); err == nil {
		t.Error("a process without a configuration prints one")
	}
	broken := errors.New("broken")
	r := started(t, Options{EffectiveConfig: func(w io.Writer, format string) error { fmt.Fprintf(w, "as %s", format); return broken }})
	if err := r.Config(&b, "json"); !errors.Is(err, broken) || b.String() != "as json" {
		t.Errorf("%v %q", err, b.String())
	}
}

func TestEverythingOnlyReads(t *testing.T) {
	r := started(t, Options{Config: Config{Listen: "127.0.0.1:0"}})
	for _, path := range []string{"/", "/livez", "/readyz", "/startupz", "/metrics", "/debug/pprof/"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			if status, _, _ := r.ask(method, path); status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
		if status, _, _ := r.ask(http.MethodHead, path); status != 200 {
			t.Errorf("HEAD %s: %d", path, status)
		}
	}
	if status, _, _ := r.ask(http.MethodGet, "/none"); status != 404 {
		t.Errorf("/none: %d", status)
	}
}

func TestProfilesAreServedOnLoopbackOnly(t *testing.T) {
	f := func(c Config, want bool) {
		t.Helper()
		if got := c.pprof(); got != want {
			t.Errorf("%+v serves profiles: %t", c, got)
		}
	}
	f(Config{Listen: "127.0.0.1:8080", Pprof: "auto"}, true)
	f(Config{Listen: "[::1]:8080"}, true)
	f(Config{Listen: "localhost:8080"}, true)
	f(Config{Listen: "0.0.0.0:8080", Pprof: "auto"}, false)
	f(Config{Listen: ":8080"}, false)
	f(Config{Listen: "nonsense"}, false)
	f(Config{Listen: "0.0.0.0:8080", Pprof: "on"}, true)
	f(Config{Listen: "127.0.0.1:8080", Pprof: "off"}, false)
	r := started(t, Options{Config: Config{Listen: "127.0.0.1:0", Pprof: "off"}})
	if status, _, _ := r.ask(http.MethodGet, "/debug/pprof/"); status != 404 {
		t.Errorf("off: %d", status)
	}
	on := started(t, Options{})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1"} {
		if status, _, _ := on.ask(http.MethodGet, path); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
}
