package harness

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// CollectorBinary builds the OpenTelemetry Collector of conformance/collector,
// unless that is done, and returns its path.
func CollectorBinary(t testing.TB) string {
	t.Helper()
	script := filepath.Join(root(t), "scripts", "collector.sh")
	if out, err := exec.Command(script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return filepath.Join(root(t), "bin", "otelcol")
}

// CollectorExport is one way of a Collector: what comes in at Listen goes out by
// an exporter.
type CollectorExport struct {
	Listen   string // OTLP/gRPC in plain text
	Protocol string // grpc or http
	Endpoint string // host:port, over TLS
	CAFile   string
	// CertFile and KeyFile of the client; "": none.
	CertFile, KeyFile string
	// TokenFile has what its extension bearertokenauth sends; "": nothing.
	TokenFile string
	// TokenURL is where its extension oauth2client gets tokens, for the client;
	// "": nowhere.
	TokenURL, ClientID, ClientSecret string
	Headers                          map[string]string
}

// CollectorConfig is a configuration of these ways. Nothing is queued and nothing
// repeated, so that the answer of the endpoint is the answer to the client.
func CollectorConfig(ways []CollectorExport) string {
	var extensions, receivers, exporters, pipelines strings.Builder
	var names []string
	for n, w := range ways {
		fmt.Fprintf(&receivers, "  otlp/%d: {protocols: {grpc: {endpoint: %q}}}\n", n, w.Listen)
		kind, endpoint := "otlp", w.Endpoint
		if w.Protocol == "http" {
			kind, endpoint = "otlphttp", "https://"+endpoint
		}
		fmt.Fprintf(&exporters, "  %s/%d:\n    endpoint: %q\n    tls: {ca_file: %q, cert_file: %q, key_file: %q}\n    sending_queue: {enabled: false}\n    retry_on_failure: {enabled: false}\n",
			kind, n, endpoint, w.CAFile, w.CertFile, w.KeyFile)
		if len(w.Headers) > 0 {
			exporters.WriteString("    headers:\n")
			for k, v := range w.Headers {
				fmt.Fprintf(&exporters, "      %s: %q\n", k, v)
			}
		}
		auth := func(kind, format string, args ...any) {
			name := fmt.Sprintf("%s/%d", kind, n)
			names = append(names, name)
			fmt.Fprintf(&extensions, "  %s: {%s}\n", name, fmt.Sprintf(format, args...))
			fmt.Fprintf(&exporters, "    auth: {authenticator: %s}\n", name)
		}
		switch {
		case w.TokenFile != "":
			auth("bearertokenauth", "filename: %q", w.TokenFile)
		case w.TokenURL != "":
			auth("oauth2client", "token_url: %q, client_id: %q, client_secret: %q", w.TokenURL, w.ClientID, w.ClientSecret)
		}
		fmt.Fprintf(&pipelines, "    traces/%d: {receivers: [otlp/%d], exporters: [%s/%d]}\n", n, n, kind, n)
	}
	return "extensions:\n" + extensions.String() + "receivers:\n" + receivers.String() + "exporters:\n" + exporters.String() +
		"service:\n  telemetry: {metrics: {level: none}}\n  extensions: [" + strings.Join(names, ", ") + "]\n  pipelines:\n" + pipelines.String()
}
