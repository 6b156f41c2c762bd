package receiver

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// ask is a request as a browser makes it for a script of a page from origin.
func (d *door) ask(t testing.TB, method, origin string, header ...string) httpAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), method, d.url("/v1/traces"), nil)
	if method == http.MethodPost {
		r, err = http.NewRequestWithContext(testContext(t), method, d.url("/v1/traces"), bytes.NewReader(request(otlp.Traces, 2)))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := do(client(t, "h1", nil), r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (d *door) preflight(t testing.TB, origin string, more ...string) httpAnswer {
	t.Helper()
	return d.ask(t, http.MethodOptions, origin, append([]string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-api-key"}, more...)...)
}

func withOrigins(origins ...string) func(*setup) {
	return func(s *setup) { s.http.CORS.Origins = origins }
}

// What a browser asks before a script may send telemetry to another origin.
func TestCORS(t *testing.T) {
	f := func(origins, origin string, allowed, credentials string) {
		t.Helper()
		d := open(t, withOrigins(strings.Fields(origins)...))
		preflight := d.preflight(t, origin)
		post := d.ask(t, http.MethodPost, origin, "Content-Type", typeProtobuf)
		for what, a := range map[string]httpAnswer{"preflight": preflight, "post": post} {
			if got := a.header.Get("Access-Control-Allow-Origin"); got != allowed {
				t.Errorf("%s from %s with %q: allowed is %q, want %q", what, origin, origins, got, allowed)
			}
			if got := a.header.Get("Access-Control-Allow-Credentials"); got != credentials {
				t.Errorf("%s from %s with %q: credentials are %q, want %q", what, origin, origins, got, credentials)
			}
			if origins != "" && !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s from %s with %q: a cache would give this answer to other origins: %v", what, origin, origins, a.header)
			}
		}
		if post.code != http.StatusOK {
			t.Errorf("post: %d %q", post.code, post.body)
		}
		if allowed == "" {
			return
		}
		if preflight.code != http.StatusNoContent || preflight.header.Get("Access-Control-Allow-Headers") != "content-type,x-api-key" ||
			preflight.header.Get("Access-Control-Allow-Methods") != "POST" || preflight.header.Get("Access-Control-Max-Age") != "7200" {
			t.Errorf("preflight: %d %v", preflight.code, preflight.header)
		}
		if got := post.header.Get("Access-Control-Expose-Headers"); got != "Retry-After, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin" {
			t.Errorf("post: exposed are %q", got)
		}
	}
	f("", "https://shop.example.com", "", "")
	f("https://*.example.com http://localhost:3000", "https://shop.example.com", "https://shop.example.com", "true")
	f("https://*.example.com http://localhost:3000", "http://localhost:3000", "http://localhost:3000", "true")
	f("https://*.example.com", "https://evil.com", "", "")
	f("https://*.example.com", "null", "", "")
	f("*", "https://evil.com", "*", "")
	f("*", "null", "*", "")
}

func TestOrigins(t *testing.T) {
	f := func(pattern, from string, want bool) {
		t.Helper()
		o, err := parseOrigin(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if o.match(from) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, from, !want, want)
		}
	}
	const below = "https://*.example.com"
	f(below, "https://shop.example.com", true)
	f(below, "https://a.b.example.com", true)
	for _, other := range []string{"https://example.com", "https://evil-example.com", "https://evilexample.com", "https://example.com.evil.org", "https://shop.example.com.evil.org",
		"http://shop.example.com", "https://shop.example.com:8443", "https://.example.com", "https://shop.example.com/", "https://evil.org/.example.com", "https://evil.org#.example.com",
		"https://evil.org?.example.com", "https://evil.org\\.example.com", "https://user@shop.example.com", "https://evil.org:1.example.com", "https://SHOP.example.com", "https://shop.example.com ", " https://shop.example.com",
		"null", "", "https://", "*", below} {
		f(below, other, false)
	}
	f("https://Example.com", "https://example.com", true)
	f("https://example.com", "https://shop.example.com", false)
	f("https://example.com", "https://example.com:8443", false)
	f("https://*.example.com:8443", "https://shop.example.com:8443", true)
	f("https://*.example.com:8443", "https://shop.example.com", false)
	f("http://localhost:*", "http://localhost", true)
	f("http://localhost:*", "http://localhost:5173", true)
	for _, other := range []string{"http://localhost:", "http://localhost:5173.evil.org", "http://localhost.evil.org", "http://localhost:evil.org", "http://localhost:123456", "http://localhost:-1"} {
		f("http://localhost:*", other, false)
	}
	f("http://[::1]:*", "http://[::1]:3000", true)
	f("http://[::1]:3000", "http://[::1]:3000", true)
	f("http://[::1]", "http://[::1]:3000", false)
}

func TestCORSHeadersAndAge(t *testing.T) {
	d := open(t, withOrigins("https://shop.example.com"), func(s *setup) {
		s.http.CORS.Headers, s.http.CORS.ExposedHeaders = []string{"Content-Type", "X-Api-Key"}, []string{"X-Trace"}
		s.http.CORS.MaxAge = short(10 * time.Minute)
	})
	const page = "https://shop.example.com"
	if a := d.preflight(t, page); a.header.Get("Access-Control-Allow-Headers") != "content-type,x-api-key" || a.header.Get("Access-Control-Max-Age") != "600" {
		t.Errorf("%v", a.header)
	}
	if a := d.preflight(t, page, "Access-Control-Request-Headers", "content-type,x-other"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a header that is not listed is allowed: %v", a.header)
	}
	if a := d.preflight(t, page, "Access-Control-Request-Method", "DELETE"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("DELETE is allowed: %v", a.header)
	}
	if a := d.ask(t, http.MethodPost, page, "Content-Type", typeProtobuf); !strings.HasSuffix(a.header.Get("Access-Control-Expose-Headers"), ", X-Trace") {
		t.Errorf("%v", a.header)
	}
	if a := d.ask(t, http.MethodPost, page, "Content-Type", "text/plain"); a.code != http.StatusUnsupportedMediaType || a.header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("a script cannot read its refusal: %d %v", a.code, a.header) // without the header the browser hides it
	}
	if a := d.preflight(t, page, "Access-Control-Request-Private-Network", "true"); a.header.Get("Access-Control-Allow-Private-Network") != "" {
		t.Errorf("a private network is open: %v", a.header)
	}
	d = open(t, withOrigins(page), func(s *setup) {
		s.http.CORS.Headers, s.http.CORS.PrivateNetwork, s.http.CORS.MaxAge = nil, true, 0
	})
	if a := d.preflight(t, page, "Access-Control-Request-Private-Network", "true", "Access-Control-Request-Headers", "content-type"); a.header.Get("Access-Control-Allow-Private-Network") != "true" || a.header.Get("Access-Control-Max-Age") != "0" {
		t.Errorf("%v", a.header)
	}
}
