package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/penstock-otel/penstock/integration/harness"
)

// spansEach is what one export of the tests of the door has.
const spansEach = 3

// login is what a client shows.
type login struct {
	name              string
	token             string // as authorization: Bearer
	key               string // as x-api-key
	tenant            string // that it names; "": none
	certFile, keyFile string
	// want is the answer in the words of HTTP, 0 for a handshake that fails.
	want int
	// lands is the tenant of what is accepted.
	lands string
}

func (l *login) headers() map[string]string {
	h := map[string]string{}
	if l.token != "" {
		h["Authorization"] = "Bearer " + l.token
	}
	if l.key != "" {
		h["X-Api-Key"] = l.key
	}
	if l.tenant != "" {
		h["X-Scope-OrgID"] = l.tenant
	}
	return h
}

func (l *login) tls(t *testing.T, caFile string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		t.Fatalf("%s has no certificate", caFile)
	}
	if l.certFile != "" {
		pair, err := tls.LoadX509KeyPair(l.certFile, l.keyFile)
		if err != nil {
			t.Fatal(err)
		}
		// Shown whatever authorities the server names: a client that keeps one to
		// itself which does not fit is another case, that of nothing.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

// code of a client's error, by its text: each client wraps it in its own way.
func (d *door) code(err error) int {
	if err == nil {
		return 200
	}
	text := strings.ToLower(err.Error())
	for code, words := range map[int][]string{401: {"unauthenticated", "401"}, 403: {"permissiondenied", "403"}} {
		for _, w := range words {
			if strings.Contains(text, w) {
				return code
			}
		}
	}
	for _, w := range []string{"tls", "certificate", "connection reset", "broken pipe", "eof", "server closed", "closed network connection", "could not be established"} {
		if strings.Contains(text, w) {
			return 0
		}
	}
	d.t.Logf("an error of no kind that is known: %v", err)
	return -1
}

// export sends spans by an exporter of the SDK.
func export(t *testing.T, e *otlptrace.Exporter) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	defer func() {
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shut the exporter down: %v", err)
		}
	}()
	stubs := make(tracetest.SpanStubs, spansEach)
	for i := range stubs {
		stubs[i] = tracetest.SpanStub{Name: "span", StartTime: time.Now(), EndTime: time.Now()}
	}
	return e.ExportSpans(ctx, stubs.Snapshots())
}

// door is a gateway that wants to know who it is, and what is in front of it.
type door struct {
	t       *testing.T
	up      *harness.Role
	sink    *harness.Sink
	caFile  string
	issuer  *harness.Issuer
	keys    string // the keys file
	clients *harness.Authority
}

func (d *door) sdkGRPC(l *login, more ...grpc.DialOption) error {
	d.t.Helper()
	e, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpoint(d.up.GRPCAddr), otlptracegrpc.WithHeaders(l.headers()),
		otlptracegrpc.WithTLSCredentials(credentials.NewTLS(l.tls(d.t, d.caFile))), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}), otlptracegrpc.WithDialOption(more...))
	if err != nil {
		d.t.Fatal(err)
	}
	return export(d.t, e)
}

func (d *door) sdkHTTP(l *login) error {
	d.t.Helper()
	e, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpoint(d.up.HTTPAddr), otlptracehttp.WithHeaders(l.headers()),
		otlptracehttp.WithTLSClientConfig(l.tls(d.t, d.caFile)), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	if err != nil {
		d.t.Fatal(err)
	}
	return export(d.t, e)
}

// sdkOAuth2 is sdkGRPC with the client credentials of golang.org/x/oauth2.
func (d *door) sdkOAuth2(id, secret string) error {
	c := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: d.issuer.TokenURL(), AuthStyle: oauth2.AuthStyleInHeader}
	return d.sdkGRPC(&login{}, grpc.WithPerRPCCredentials(perCall{c.TokenSource(context.Background())}))
}

// perCall puts a token into each call.
type perCall struct{ oauth2.TokenSource }

func (p perCall) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := p.Token()
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": token.Type() + " " + token.AccessToken}, nil
}

func (perCall) RequireTransportSecurity() bool { return true }

// curl sends JSON and gives the code of the answer, 0 without one.
func (d *door) curl(l *login) int {
	d.t.Helper()
	const body = `{"resourceSpans":[{"scopeSpans":[{"spans":[` +
		`{"traceId":"01010101010101010101010101010101","spanId":"0101010101010101","name":"a","startTimeUnixNano":"1","endTimeUnixNano":"2"},` +
		`{"traceId":"01010101010101010101010101010101","spanId":"0101010101010102","name":"b","startTimeUnixNano":"1","endTimeUnixNano":"2"},` +
		`{"traceId":"01010101010101010101010101010101","spanId":"0101010101010103","name":"c","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`
	args := []string{"--silent", "--show-error", "--max-time", "20", "--cacert", d.caFile, "--output", filepath.Join(d.t.TempDir(), "answer"),
		"--write-out", "%{http_code}", "--header", "Content-Type: application/json", "--data-binary", body}
	for k, v := range l.headers() {
		args = append(args, "--header", k+": "+v)
	}
	if l.certFile != "" {
		args = append(args, "--cert", l.certFile, "--key", l.keyFile)
	}
	out, err := exec.Command("curl", append(args, "https://"+d.up.HTTPAddr+"/v1/traces")...).Output()
	switch strings.TrimSpace(string(out)) {
	case "200":
		return 200
	case "401":
		return 401
	case "403":
		return 403
	case "000":
		if err == nil {
			d.t.Errorf("curl got no answer and says that all is well")
		}
		return 0
	}
	d.t.Errorf("curl: %q, %v", out, err)
	return -1
}

// collector runs one Collector with a way for each login and transport.
func (d *door) collector(logins []login) (send func(n int, transport string) error) {
	d.t.Helper()
	dir := d.t.TempDir()
	var ways []harness.CollectorExport
	for n, l := range logins {
		for transport, addr := range map[string]string{"grpc": d.up.GRPCAddr, "http": d.up.HTTPAddr} {
			w := harness.CollectorExport{Listen: harness.FreeAddr(d.t), Protocol: transport, Endpoint: addr, CAFile: d.caFile,
				CertFile: l.certFile, KeyFile: l.keyFile, Headers: map[string]string{}}
			if l.token != "" {
				w.TokenFile = filepath.Join(dir, "token-"+transport+"-"+string(rune('a'+n)))
				writeFile(d.t, w.TokenFile, []byte(l.token))
			}
			for k, v := range l.headers() {
				if k != "Authorization" {
					w.Headers[k] = v
				}
			}
			ways = append(ways, w)
		}
	}
	relay := d.collectorOf(ways)
	return func(n int, transport string) error {
		for i, w := range ways[2*n : 2*n+2] {
			if w.Protocol == transport {
				return relay(2*n + i)
			}
		}
		d.t.Fatalf("no way over %s", transport)
		return nil
	}
}

// collectorOf runs one Collector with these ways.
func (d *door) collectorOf(ways []harness.CollectorExport) (send func(n int) error) {
	d.t.Helper()
	config := filepath.Join(d.t.TempDir(), "collector.yaml")
	writeFile(d.t, config, []byte(harness.CollectorConfig(ways)))
	p := harness.Start(d.t, "otelcol", harness.CollectorBinary(d.t), "--config", config)
	harness.Until(d.t, 60*time.Second, func() string { return "the Collector is ready:\n" + p.Log() },
		func() bool { return strings.Contains(p.Log(), "Everything is ready") || p.Ended() })
	if p.Ended() {
		d.t.Fatalf("the Collector ended:\n%s", p.Log())
	}
	return func(n int) error {
		e, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpoint(ways[n].Listen), otlptracegrpc.WithInsecure(), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
		if err != nil {
			d.t.Fatal(err)
		}
		return export(d.t, e)
	}
}
