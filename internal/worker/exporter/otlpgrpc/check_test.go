package otlpgrpc

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
	for _, ok := range []string{"localhost:4317", ":4317", "10.0.0.1:4317", "[::1]:4317", "backend.example.com:https",
		"dns:///backend:4317", "dns://10.0.0.1/backend:4317", "passthrough:///a:1", "unix:/run/otlp.sock", "unix-abstract:otlp"} {
		f(ok, "<nil>")
	}
	form := `: want host:port, such as "localhost:4317"`
	f("localhost", `is "localhost"`+form)
	f("localhost:", `is "localhost:"`+form)
	f("4317", `is "4317"`+form)
	f("::1", `is "::1"`+form)
	f("a/b:4317", `is "a/b:4317"`+form)
	f(" a:4317", `is " a:4317"`+form)
	f("a:0", `is "a:0": want a port of 1 to 65535`)
	f("a:65536", `is "a:65536": want a port of 1 to 65535`)
	f("a:4317/v1", `is "a:4317/v1": want a port of 1 to 65535`)
	f("http://a:4317", `is "http://a:4317": want host:port without http://, so "a:4317" and tls: {insecure: true}`)
	f("HTTP://a/", `is "HTTP://a/": want host:port without HTTP://, so "a:4317" and tls: {insecure: true}`)
	f("https://[::1]/base", `is "https://[::1]/base": want host:port without https://, so "[::1]:4317"`)
	f("grpc://a:4317", `is "grpc://a:4317": want host:port without grpc://, so "a:4317"`)
	f("http://u:pw@a:4317", "has a user or password, a query or a fragment (an @, ? or # in it), and endpoints are shown in logs: put credentials into headers")
}

// What grpc refuses in metadata is refused before any call.
func TestCheckHeaders(t *testing.T) {
	f := func(name, value, wantName, wantValue string) {
		t.Helper()
		if got := fmt.Sprint(CheckName(name)); got != wantName {
			t.Errorf("name %s\ngot  %s\nwant %s", name, got, wantName)
		}
		if got := fmt.Sprint(CheckValue(name, value)); got != wantValue {
			t.Errorf("value of %s\ngot  %s\nwant %s", name, got, wantValue)
		}
	}
	const unprintable = "has characters that gRPC does not send: want printable ASCII, or a name that ends in -bin"
	f("X-Api_Key.1", "s3cret ~", "<nil>", "<nil>")
	f("x-key-Bin", "s3crét", "<nil>", "<nil>")
	f("x-key", "s3crét", "<nil>", unprintable)
	f("x-key", "s3\tcret", "<nil>", unprintable)
	f("x-key", "s3cret\n", "<nil>", "has characters that no header may have, such as the end of a line")
	f("x!key", "1", `is "x!key": no header name in gRPC, want letters, digits, '-', '_' or '.'`, "<nil>")
	f("grpc-timeout", "1", `is "grpc-timeout": this header is set by the protocol, remove it`, "<nil>")
}
