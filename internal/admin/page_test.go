package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"
)

type stream struct {
	Name     string `json:"name"`
	Messages int    `json:"messages"`
	Note     *int   `json:"note"`
	More     any    `json:"more,omitempty"`
}

func (r *role) withStatus() *role {
	r.AddCheck("queue", func(context.Context) error { return errors.New("<b>no leader</b>") })
	r.AddStatus("Streams", func(context.Context) any {
		return []stream{{Name: "TRACES", Messages: 12345678}, {Name: `<script>alert("x")</script>`, More: []string{"one", "two"}}}
	})
	r.AddStatus("Totals", func(context.Context) any { return map[string]any{"ok": true, "list": []int{1, 2}, "empty": []int{}} })
	r.AddStatus("Broken", func(context.Context) any { panic("oh") })
	return r
}

func TestStatus(t *testing.T) {
	r := started(t, Options{Name: "gateway", BuildInfo: app.BuildInfo{Version: "v1"}}).withStatus()
	got := r.Status(t.Context())
	if got.Name != "gateway" || got.Phase != "ready" || got.Ready || got.Build.Version != "v1" || got.UptimeSeconds <= 0 || len(got.Sections) != 3 || got.Checks[0].OK {
		t.Errorf("%+v", got)
	}
	var streams []stream
	if err := json.Unmarshal(got.Sections[0].Data, &streams); err != nil || streams[0].Messages != 12345678 || got.Sections[2].Error != "panic: oh" {
		t.Errorf("%v %+v", err, got.Sections)
	}
	if r.Build().Version != "v1" {
		t.Errorf("the build is %+v", r.Build())
	}
}

// What a role says is text on the page, whatever it holds, and a browser may do
// nothing with the page but show it.
func TestThePageShowsTheStatusAndRunsNothing(t *testing.T) {
	r := started(t, Options{Name: "gateway", BuildInfo: app.BuildInfo{Version: "v1"}, EffectiveConfig: func(io.Writer, string) error { return nil }}).withStatus()
	status, body, header := r.ask(http.MethodGet, "/")
	if status != 200 || header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", status, header.Get("Content-Type"))
	}
	for _, want := range []string{
		"<title>ready (not ready) – Penstock gateway</title>", "✗ &lt;b&gt;no leader&lt;/b&gt;", "<td>12345678</td>", "<td>–</td>",
		`&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;`, "<ul><li>one</li><li>two</li></ul>", `<th scope="col">messages</th>`,
		`<th scope="row">ok</th><td>true</td>`, "✗ panic: oh", `href="/api/v1/status/config"`, `href="/debug/pprof/"`,
		`<meta http-equiv="refresh" content="10">`, `<html lang="en">`, `href="#main"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
	if strings.Contains(body, "<script") || strings.Contains(body, "<b>no") || strings.Contains(body, "style=") {
		t.Errorf("has what must not run:\n%s", body)
	}
	if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers are %v", header)
	}
	if _, body, _ := r.ask(http.MethodGet, "/?refresh=off"); strings.Contains(body, "http-equiv") {
		t.Error("still moves")
	}
	if status, body, header := r.ask(http.MethodGet, "/style.css"); status != 200 || !strings.Contains(body, "prefers-color-scheme: dark") || !strings.HasPrefix(header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %d %s", status, header.Get("Content-Type"))
	}
	ids := map[string]bool{}
	links := walk(t, body, ids)
	for _, link := range links {
		if strings.HasPrefix(link, "#") {
			if !ids[link[1:]] {
				t.Errorf("%s leads nowhere", link)
			}
		} else if status, _, _ := r.ask(http.MethodGet, link); status != 200 && link != "/readyz?verbose" && !strings.HasPrefix(link, "/api/") { // of package api
			t.Errorf("%s: %d", link, status)
		}
	}
	if len(links) < 9 {
		t.Errorf("links are %v", links)
	}
}

// walk checks the nesting of the page and returns its links; ids must be unique,
// and labels must name one.
func walk(t *testing.T, page string, ids map[string]bool) (links []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			switch a.Key {
			case "id":
				if ids[a.Val] {
					t.Errorf("the id %s is there twice", a.Val)
				}
				ids[a.Val] = true
			case "href":
				links = append(links, a.Val)
			case "aria-labelledby":
				labels = append(labels, a.Val)
			}
		}
	}
	for _, l := range labels {
		if !ids[l] {
			t.Errorf("no element has the id %s", l)
		}
	}
	return links
}

func TestDataIsShownWithinBounds(t *testing.T) {
	deep := decodeValue([]byte(`{"a":{"b":{"c":{"d":{"e":{"f":{"g":1}}}}}}}`))
	for range maxDepth {
		deep = deep.Pairs[0].Value
	}
	if deep.Pairs[0].Value.Text != `{"g":1}` {
		t.Errorf("the depth ends as %+v", deep)
	}
	long := decodeValue([]byte("[1" + strings.Repeat(",1", maxRows+4) + "]"))
	if len(long.Items) != maxRows || long.Hidden != 5 {
		t.Errorf("%d items and %d hidden", len(long.Items), long.Hidden)
	}
	mixed := decodeValue([]byte(`[{"a":1},{"b":2},{}]`))
	if len(mixed.Heads) != 2 || len(mixed.Rows) != 3 || mixed.Rows[1][1].Text != "2" || mixed.Rows[1][0].Text != "" {
		t.Errorf("%+v", mixed)
	}
	if plain := decodeValue([]byte(`[{"a":1},2]`)); plain.Heads != nil || len(plain.Items) != 2 {
		t.Errorf("%+v", plain)
	}
	for _, bad := range []string{"", "{", `{"a"`, `{"a":`, "[1", `{"a":[`, "[[[[[[["} {
		if got := decodeValue([]byte(bad)); got.Text != bad {
			t.Errorf("%q shows as %+v", bad, got)
		}
	}
}

func TestGet(t *testing.T) {
	r := start(t, Options{})
	_, err := Get(t.Context(), r.Addr(), "readyz")
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 503 || !strings.Contains(err.Error(), "HTTP 503: [-] state: starting") {
		t.Errorf("%v", err)
	}
	if body, err := Get(t.Context(), "http://"+r.Addr()+"/", "/livez"); err != nil || string(body) != "ok\n" {
		t.Errorf("%q, %v", body, err)
	}
	_, port, _ := net.SplitHostPort(r.Addr())
	for _, addr := range []string{"0.0.0.0:" + port, ":" + port, "localhost:" + port} {
		if _, err := Get(t.Context(), addr, "/livez"); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	cut, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := Get(cut, r.Addr(), "/livez"); err == nil || !strings.Contains(err.Error(), "is the process running") {
		t.Errorf("%v", err)
	}
	if _, err := Get(t.Context(), "ho st", "/"); err == nil {
		t.Error("an address with a space works")
	}
	r.Handle("GET /big", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, maxAnswer+1))
	}))
	if _, err := Get(t.Context(), r.Addr(), "/big"); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("%v", err)
	}
	r.Handle("GET /cut", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("x"))
	}))
	if _, err := Get(t.Context(), r.Addr(), "/cut"); err == nil {
		t.Error("a cut answer is taken")
	}
	if got := URL("[::]:1", false); got != "http://[::1]:1" {
		t.Error(got)
	}
}

func TestNewRefusesWhatCannotServe(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if s, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			_ = s.Shutdown(t.Context())
		}
	}
	registry := prometheus.NewRegistry
	f(Options{}, "BUG")
	r := start(t, Options{})
	f(Options{Registry: registry(), State: r.app.State(), Config: Config{Listen: r.Addr()}}, "change admin.listen")
	f(Options{Registry: registry(), State: r.app.State(), Config: Config{Listen: "127.0.0.1:0", TLS: config.TLSServer{CertFile: "none", KeyFile: "none"}}}, "no such file")
	taken := registry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_ready", Help: "Another."}))
	f(Options{Registry: taken, State: r.app.State(), Config: Config{Listen: "127.0.0.1:0"}}, "admin metrics")

	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for listen, want := range map[string]string{
		"8080":            `listen: is "8080": want host:port; did you mean 127.0.0.1:8080 (this machine alone) or :8080 (every address)?`,
		"localhost":       `listen: is "localhost": want host:port`,
		"localhost:":      `listen: is "localhost:": want host:port`,
		"localhost:99999": `listen: is "localhost:99999": want a port of 0 to 65535`,
	} {
		if err := (Config{Listen: listen}).Validate(); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", listen, err, want)
		}
	}
	var page strings.Builder
	if err := config.Reference(&page, DefaultConfig(), "Admin"); err != nil || !strings.Contains(page.String(), "`127.0.0.1:8080`") {
		t.Error(err)
	}
}

// A server that never served gives its port back, and one that shares a registry
// with another is no conflict.
func TestShutdownWithoutServe(t *testing.T) {
	a := app.New("x", slog.New(slog.DiscardHandler))
	o := Options{Registry: prometheus.NewRegistry(), State: a.State(), Config: Config{Listen: "127.0.0.1:0"}}
	first, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Config.Listen = first.Addr()
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "admin port 127.0.0.1:") {
		t.Errorf("serving on a closed port says %v", err)
	}
}

// A request that does not end is cut off, and Shutdown says so.
func TestShutdownIsBounded(t *testing.T) {
	a := app.New("x", slog.New(slog.DiscardHandler))
	s, err := New(Options{Registry: prometheus.NewRegistry(), State: a.State(), Config: Config{Listen: "127.0.0.1:0"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	s.Handle("GET /hang", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(arrived); <-release }))
	served, asked := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	go func() { _, err := Get(context.Background(), s.Addr(), "/hang"); asked <- err }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown says %v", err)
	}
	if err := <-asked; err == nil {
		t.Error("the request got an answer")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	close(release)
}
