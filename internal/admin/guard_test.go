package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// operated is a port with one guarded route that changes and one that shows.
func operated(t *testing.T, mode string) *role {
	r := started(t, Options{Config: Config{Listen: "127.0.0.1:0", Operate: mode}})
	for _, pattern := range []string{"POST /api/v1/act", "GET /api/v1/show"} {
		r.Handle(pattern, r.Operator(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { text(w, 200, Peer(r.Context())) })))
	}
	r.Handle("GET /api/v1/plain", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, 200, "plain") }))
	return r
}

// TestForeignPagesMayNotAct has a browser of the operator himself, led by
// somebody else's page.
func TestForeignPagesMayNotAct(t *testing.T) {
	r := operated(t, OperateLoopback)
	f := func(method, path string, want int, header ...string) {
		t.Helper()
		status, body, h := r.ask(method, path, header...)
		if status != want {
			t.Errorf("%s %s %v: %d %s, want %d", method, path, header, status, body, want)
		}
		var p Problem
		if want != 200 && (json.Unmarshal([]byte(body), &p) != nil || p.Status != want || p.Detail == "" || h.Get("Content-Type") != "application/problem+json") {
			t.Errorf("%s %s %v is no problem: %s", method, path, header, body)
		}
	}
	own := "http://" + r.Addr()
	for _, x := range []struct{ method, path string }{{"POST", "/api/v1/act"}, {"GET", "/api/v1/show"}} {
		f(x.method, x.path, 200)
		f(x.method, x.path, 200, "Sec-Fetch-Site", "same-origin")
		f(x.method, x.path, 200, "Origin", own)
		f(x.method, x.path, 403, "Sec-Fetch-Site", "cross-site")
		f(x.method, x.path, 403, "Sec-Fetch-Site", "same-site")
		f(x.method, x.path, 403, "Origin", "https://evil.example")
		f(x.method, x.path, 403, "X-Forwarded-For", "192.0.2.1")
		f(x.method, x.path, 403, "Forwarded", "for=192.0.2.1")
		f(x.method, x.path, 403, "Via", "1.1 proxy")
		f(x.method, x.path, 403, "X-Forwarded-Proto", "http")
		f(x.method, x.path, 403, "X-Envoy-Attempt-Count", "1")
	}
	f("GET", "/api/v1/plain", 200, "Sec-Fetch-Site", "cross-site") // what it answers no foreign page can read
}

// TestNamesOfOthersAreRefused is DNS rebinding: a foreign name that points here.
func TestNamesOfOthersAreRefused(t *testing.T) {
	r := operated(t, OperateAny)
	_, port, _ := net.SplitHostPort(r.Addr())
	f := func(host string, want int) {
		t.Helper()
		for _, path := range []string{"/api/v1/plain", "/api/v1/show", "/metrics", "/"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addr()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s as %s: %d, want %d", path, host, resp.StatusCode, want)
			}
		}
	}
	f("127.0.0.1:"+port, 200)
	f("localhost:"+port, 200)
	f("LOCALHOST", 200)
	f("penstock.localhost:1", 200)
	f("[::1]:"+port, 200)
	f("evil.example:"+port, 421)
	f("evil.example", 421)
	f("127.0.0.1.evil.example", 421)
}

func TestWhoMayOperate(t *testing.T) {
	off, any := operated(t, OperateOff), operated(t, OperateAny)
	if status, body, _ := off.ask("POST", "/api/v1/act"); status != 403 || !strings.Contains(body, "admin.operate") {
		t.Errorf("off: %d %s", status, body)
	}
	if status, _, _ := off.ask("GET", "/api/v1/plain"); status != 200 {
		t.Errorf("off, plain: %d", status)
	}
	if status, body, _ := any.ask("POST", "/api/v1/act", "X-Forwarded-For", "192.0.2.1"); status != 200 || !strings.HasPrefix(body, "127.0.0.1:") {
		t.Errorf("any: %d %s", status, body)
	}
	f := func(remote, at, host string, want bool) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		addr, err := net.ResolveTCPAddr("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr)))
		r.RemoteAddr, r.Host = remote, host
		if why := foreign(r); (why == "") != want {
			t.Errorf("from %s at %s for %s: %q", remote, at, host, why)
		}
	}
	f("127.0.0.1:5", "127.0.0.1:8080", "localhost:8080", true)
	f("[::1]:5", "[::1]:8080", "[::1]:8080", true)
	f("[::ffff:127.0.0.1]:5", "127.0.0.1:8080", "127.0.0.1:8080", true)
	f("10.0.0.7:5", "10.0.0.7:8080", "10.0.0.7:8080", true) // this machine, by its own address
	f("10.0.0.8:5", "10.0.0.7:8080", "10.0.0.7:8080", false)
	f("127.0.0.1:5", "127.0.0.1:8080", "evil.example:8080", false)
	f("10.0.0.7:5", "10.0.0.7:8080", "evil.example", false)
	f("@", "127.0.0.1:8080", "localhost", false)
}

func TestWhatIsNoRouteIsAProblem(t *testing.T) {
	r := operated(t, OperateLoopback)
	f := func(method, path string, want int, allow string) {
		t.Helper()
		status, body, h := r.ask(method, path)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != want || p.Status != want || h.Get("Allow") != allow || !strings.Contains(p.Detail, path) {
			t.Errorf("%s %s: %d %q %s (%v)", method, path, status, h.Get("Allow"), body, err)
		}
	}
	f("GET", "/api/v1/none", 404, "")
	f("DELETE", "/api/v1/act", 405, "POST")
}

func TestAskAndStream(t *testing.T) {
	r := started(t, Options{})
	r.Handle("POST /api/v1/echo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v map[string]int
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil || r.Header.Get("Content-Type") != "application/json" {
			WriteProblem(w, 422, "not what I want: %v", err)
			return
		}
		fmt.Fprintf(w, "%d", v["x"]+1)
	}))
	r.Handle("GET /api/v1/lines", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "1\n\n2\n3")
		if r.URL.Query().Has("hang") {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	r.Handle("GET /api/v1/refuses", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(429)
		fmt.Fprint(w, `{"detail":"too many taps","errors":[{"message":"is odd","location":"body.rate"}]}`)
	}))
	if b, err := Ask(t.Context(), http.MethodPost, r.Addr(), "/api/v1/echo", map[string]int{"x": 41}); err != nil || string(b) != "42" {
		t.Errorf("%s %v", b, err)
	}
	var got []string
	collect := func(line []byte) error { got = append(got, string(line)); return nil }
	if err := Stream(t.Context(), r.Addr(), "/api/v1/lines", collect); err != nil || strings.Join(got, " ") != "1 2 3" {
		t.Errorf("%v %v", got, err)
	}
	enough := errors.New("enough")
	if err := Stream(t.Context(), r.Addr(), "/api/v1/lines?hang", func([]byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Stream(ctx, r.Addr(), "/api/v1/lines?hang", func([]byte) error { cancel(); return nil }); err != nil {
		t.Errorf("a stream that was ended: %v", err)
	}
	if err := Stream(t.Context(), r.Addr(), "/api/v1/refuses", collect); err == nil || err.Error() != "too many taps; rate: is odd" {
		t.Errorf("got %v", err)
	}
}
