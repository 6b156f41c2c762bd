package send_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/send"
)

// TestHeadersGoAlong looks at what servers of both protocols are told.
func TestHeadersGoAlong(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]map[string][]string{}
	note := func(protocol string, headers map[string][]string) {
		mu.Lock()
		defer mu.Unlock()
		seen[protocol] = headers
	}
	redirected := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { note("redirected", r.Header) }))
	t.Cleanup(redirected.Close)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("http", r.Header)
		if strings.HasPrefix(r.URL.Path, "/moved") {
			http.Redirect(w, r, redirected.URL, http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(h.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		note("grpc", md)
		return status.Error(codes.PermissionDenied, "seen")
	}))
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	with := func(protocol, target string) send.Config {
		return config(func(c *send.Config) {
			c.Protocol, c.Target, c.Signals, c.Items, c.Batch, c.Clients = protocol, target, []otlp.Signal{otlp.Logs}, 1, 1, 1
			c.Token, c.Headers = "s3cret-token", []send.Header{{"X-Scope-OrgID", "acme"}, {"X-Two", "s3cret-value"}}
		})
	}
	for protocol, target := range map[string]string{"http": h.URL, "grpc": l.Addr().String()} {
		c := with(protocol, target)
		if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, "s3cret") {
			t.Errorf("printed: %s", text)
		}
		var totals send.Totals
		if err := send.Run(t.Context(), c, &totals); err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", protocol, err)
		}
		got := seen[protocol]
		for name, want := range map[string]string{"authorization": "Bearer s3cret-token", "x-scope-orgid": "acme", "x-two": "s3cret-value"} {
			if protocol == "http" {
				name = http.CanonicalHeaderKey(name)
			}
			if !slices.Equal(got[name], []string{want}) {
				t.Errorf("%s: %s is %q", protocol, name, got[name])
			}
		}
	}
	var totals send.Totals
	if err := send.Run(t.Context(), with("http", h.URL+"/moved"), &totals); err == nil && totals.Failed.Load() == 0 {
		t.Error("a redirect is success")
	}
	if seen["redirected"] != nil {
		t.Errorf("a redirect was followed with %v", seen["redirected"])
	}
}

func TestHeadersThatAreNone(t *testing.T) {
	for _, h := range []send.Header{{"", "x"}, {"a b", "s3cret"}, {":path", "s3cret"}, {"grpc-timeout", "s3cret"}, {"a", "s3cret\r\nb: c"}} {
		err := config(func(c *send.Config) { c.Target, c.Headers = "x", []send.Header{h} }).Validate()
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", h.Name, err)
		}
	}
}
