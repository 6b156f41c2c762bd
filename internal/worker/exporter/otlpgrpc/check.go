package otlpgrpc

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"google.golang.org/grpc/resolver"

	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
)

// CheckEndpoint says what is wrong with an endpoint that can reach no server,
// as it reads on from the name of the setting. It looks up nothing. What has
// the scheme of a resolver, such as dns:///host:port, is for that to judge.
func CheckEndpoint(endpoint string) error {
	if err := outgoing.CheckShown(endpoint); err != nil {
		return err
	}
	if u, err := url.Parse(endpoint); err == nil && resolver.Get(u.Scheme) != nil {
		return nil
	}
	if scheme, rest, ok := strings.Cut(endpoint, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "4317")
		}
		plain := ""
		if strings.EqualFold(scheme, "http") {
			plain = " and tls: {insecure: true}"
		}
		return fmt.Errorf("is %q: want host:port without %s://, so %q%s", endpoint, scheme, host, plain)
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || port == "" || strings.ContainsAny(host, "/ \t") {
		return fmt.Errorf("is %q: want host:port, such as \"localhost:4317\"", endpoint)
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return fmt.Errorf("is %q: want a port of 1 to 65535", endpoint)
	}
	return nil
}

// CheckName says what is wrong with the name of a header, as it reads on from
// the name of the setting. gRPC refuses some that HTTP has, with every call.
func CheckName(name string) error {
	if err := outgoing.CheckName(name); err != nil {
		return err
	}
	for _, r := range strings.ToLower(name) {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_.", r) {
			return fmt.Errorf("is %q: no header name in gRPC, want letters, digits, '-', '_' or '.'", name)
		}
	}
	return nil
}

// CheckValue says what is wrong with the value of the header name, without the
// value.
func CheckValue(name, value string) error {
	if err := outgoing.CheckValue(value); err != nil {
		return err
	}
	if strings.HasSuffix(strings.ToLower(name), "-bin") { // sent as base64
		return nil
	}
	for i := range len(value) {
		if value[i] < 0x20 || value[i] > 0x7e {
			return errors.New("has characters that gRPC does not send: want printable ASCII, or a name that ends in -bin")
		}
	}
	return nil
}
