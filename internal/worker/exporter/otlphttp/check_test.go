package otlphttp

import (
	"fmt"
	"testing"
)

func TestCheckEndpoint(t *testing.T) {
	f := func(endpoint, want string) {
		t.Helper()
		if got := fmt.Sprint(CheckEndpoint(endpoint)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", endpoint, got, want)
		}
	}
	for _, ok := range []string{"http://localhost:4318", "https://otlp.example.com", "HTTPS://a/base/", "http://[::1]:4318", "http://a/v1", "http://a/v1/tracesx"} {
		f(ok, "<nil>")
	}
	form := `: want a URL with a host, such as "http://localhost:4318" or "https://otlp.example.com"`
	for _, bad := range []string{"localhost:4318", "localhost", "ftp://a:1", "http://", "http://:4318", "http:/a", "http://a b", "http://a:x"} {
		f(bad, fmt.Sprintf("is %q", bad)+form)
	}
	f("http://a:0", `is "http://a:0": want a port of 1 to 65535`)
	f("http://a:65536", `is "http://a:65536": want a port of 1 to 65535`)
	f("http://a:1/v1/traces", `is "http://a:1/v1/traces": the path of the signal is appended; write the base URL, "http://a:1"`)
	f("http://a/otlp/v1/metrics/", `is "http://a/otlp/v1/metrics/": the path of the signal is appended; write the base URL, "http://a/otlp"`)
	f("https://a/v1/logs", `is "https://a/v1/logs": the path of the signal is appended; write the base URL, "https://a"`)
	f("http://a?key=s3cret", "has a user or password, a query or a fragment (an @, ? or # in it), and endpoints are shown in logs: put credentials into headers")
}
