package otlphttp

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
)

// CheckEndpoint says what is wrong with a base URL that can reach no server, as
// it reads on from the name of the setting. It looks up nothing.
func CheckEndpoint(endpoint string) error {
	if err := outgoing.CheckShown(endpoint); err != nil {
		return err
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("is %q: want a URL with a host, such as \"http://localhost:4318\" or \"https://otlp.example.com\"", endpoint)
	}
	if p := u.Port(); p != "" {
		if n, err := net.LookupPort("tcp", p); err != nil || n == 0 {
			return fmt.Errorf("is %q: want a port of 1 to 65535", endpoint)
		}
	}
	for _, s := range otlp.Signals {
		if base, ok := strings.CutSuffix(strings.TrimRight(endpoint, "/"), "/v1/"+s.String()); ok {
			return fmt.Errorf("is %q: the path of the signal is appended; write the base URL, %q", endpoint, base)
		}
	}
	return nil
}
