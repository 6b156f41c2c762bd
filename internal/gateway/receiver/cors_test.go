package receiver

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// What a browser asks before a script may send telemetry to another origin.
func TestCORS(t *testing.T) {
	f := func(origins, origin string, allowed, credentials string) {
		t.Helper()
		d := open(t, func(s *setup) {
			if origins != "" {
				s.http.CORSOrigins = strings.Split(origins, " ")
			}
		})
		preflight, err := http.NewRequestWithContext(testContext(t), http.MethodOptions, d.url("/v1/traces"), nil)
		if err != nil {
			t.Fatal(err)
		}
		preflight.Header.Set("Access-Control-Request-Method", "POST")
		preflight.Header.Set("Access-Control-Request-Headers", "content-type,x-api-key")
		post, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url("/v1/traces"), bytes.NewReader(request(otlp.Traces, 2)))
		if err != nil {
			t.Fatal(err)
		}
		post.Header.Set("Content-Type", typeProtobuf)
		for _, r := range []*http.Request{preflight, post} {
			r.Header.Set("Origin", origin)
			a, err := do(client(t, "h1", nil), r)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.header.Get("Access-Control-Allow-Origin"); got != allowed {
				t.Errorf("%s from %s with %q: allowed is %q, want %q", r.Method, origin, origins, got, allowed)
			}
			if got := a.header.Get("Access-Control-Allow-Credentials"); got != credentials {
				t.Errorf("%s from %s with %q: credentials are %q, want %q", r.Method, origin, origins, got, credentials)
			}
			if r == preflight && allowed != "" && (a.code != http.StatusNoContent || a.header.Get("Access-Control-Allow-Headers") != "content-type,x-api-key") {
				t.Errorf("preflight: %d %v", a.code, a.header)
			}
			if r == post && a.code != http.StatusOK {
				t.Errorf("post: %d %q", a.code, a.body)
			}
		}
	}
	f("", "https://shop.example.com", "", "")
	f("https://*.example.com http://localhost:3000", "https://shop.example.com", "https://shop.example.com", "true")
	f("https://*.example.com http://localhost:3000", "http://localhost:3000", "http://localhost:3000", "true")
	f("https://*.example.com", "https://evil.com", "", "")
	f("*", "https://evil.com", "*", "")
}
