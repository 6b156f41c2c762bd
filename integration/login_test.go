package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// openDoor is penstock up that takes API keys, tokens of an issuer and client
// certificates on the same ports, over TLS.
func openDoor(t *testing.T) *door {
	t.Helper()
	server := harness.NewAuthority(t, "server")
	d := &door{t: t, sink: harness.NewSink(t), caFile: server.File, issuer: harness.NewIssuer(t), clients: harness.NewAuthority(t, "clients"),
		keys: filepath.Join(t.TempDir(), "keys")}
	writeFile(t, d.keys, nil)
	certFile, keyFile := server.Issue("gateway")
	for _, listener := range []string{"GRPC", "HTTP"} {
		for key, value := range map[string]string{"CERT_FILE": certFile, "KEY_FILE": keyFile, "CLIENT_CA_FILE": d.clients.File, "CLIENT_AUTH": "optional"} {
			t.Setenv("PENSTOCK_GATEWAY_"+listener+"_TLS_"+key, value)
		}
	}
	t.Setenv("PENSTOCK_ADMIN_OPEN_METRICS", "true")
	d.up = harness.NewUpTo(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "256MiB"},
		harness.Destinations(harness.Destination{Name: "backend", Protocol: "grpc", Endpoint: d.sink.GRPCAddr, More: "tenant_header: " + harness.TenantHeader})+
			fmt.Sprintf("auth:\n  keys_file: %q\n  issuers:\n  - {issuer: %q, audiences: [%s], leeway: 0s, tenants_claim: tenants}\n"+
				"  certificates:\n  - {subject: \"agent-*\", tenant: certified}\n", d.keys, d.issuer.URL, harness.Audience))
	d.up.Start()
	return d
}

// penstock runs the command and gives what it prints.
func (d *door) penstock(args ...string) string {
	d.t.Helper()
	out, err := exec.Command(harness.Binary(d.t, harness.Penstock), args...).Output()
	if err != nil {
		d.t.Fatalf("penstock %s: %v", strings.Join(args[:2], " "), err)
	}
	return strings.TrimSpace(string(out))
}

// key makes an API key.
func (d *door) key(name string, more ...string) (key, id string) {
	d.t.Helper()
	var made struct {
		Key     string
		Details struct{ ID string }
	}
	if err := json.Unmarshal([]byte(d.penstock(append([]string{"keys", "create", "--file", d.keys, "--name", name, "-o", "json"}, more...)...)), &made); err != nil {
		d.t.Fatal(err)
	}
	return made.Key, made.Details.ID
}

// logins are every way to authenticate, well and badly.
func (d *door) logins() []login {
	key, _ := d.key("checkout", "--tenant", "keyed", "--tenants", "other")
	revoked, id := d.key("old", "--tenant", "keyed")
	d.penstock("keys", "revoke", id, "--file", d.keys)
	looks, _ := d.key("dashboards", "--roles", "view")
	tenant := map[string]any{"tenant": "tokened", "tenants": []string{"other"}}
	with := func(claims ...any) string {
		all := maps.Clone(tenant)
		for i := 0; i < len(claims); i += 2 {
			all[claims[i].(string)] = claims[i+1]
		}
		return d.issuer.Token(all)
	}
	good := with()
	agentCert, agentKey := d.clients.Issue("agent-7")
	otherCert, otherKey := d.clients.Issue("printer")
	strangeCert, strangeKey := harness.NewAuthority(d.t, "strangers").Issue("agent-7")
	stranger := harness.NewIssuer(d.t)
	return []login{
		{name: "key as bearer", token: key, want: 200, lands: "keyed"},
		{name: "key in its header", key: key, want: 200, lands: "keyed"},
		{name: "key for another tenant", key: key, tenant: "other", want: 200, lands: "other"},
		{name: "token", token: good, want: 200, lands: "tokened"},
		{name: "token for another tenant", token: good, tenant: "other", want: 200, lands: "other"},
		{name: "certificate", certFile: agentCert, keyFile: agentKey, want: 200, lands: "certified"},

		{name: "nothing", want: 401},
		{name: "unknown key", key: key[:len(key)-4] + "aaaa", want: 401},
		{name: "revoked key", token: revoked, want: 401},
		{name: "key that may not send", key: looks, want: 403},
		{name: "key that may not speak for the tenant", key: key, tenant: "third", want: 403},
		{name: "expired token", token: with("exp", time.Now().Add(-time.Minute).Unix()), want: 401},
		{name: "token of tomorrow", token: with("nbf", time.Now().Add(time.Hour).Unix()), want: 401},
		{name: "wrong audience", token: with("aud", "somebody"), want: 401},
		{name: "wrong issuer", token: stranger.Token(tenant), want: 401},
		{name: "wrong issuer that says to be the right one", token: stranger.Token(map[string]any{"iss": d.issuer.URL, "tenant": "tokened"}), want: 401},
		{name: "algorithm none", token: harness.Unsigned(good), want: 401},
		{name: "tampered token", token: harness.Tampered(d.t, good, "third"), want: 401},
		{name: "token that may not speak for the tenant", token: good, tenant: "third", want: 403},
		{name: "certificate without a rule", certFile: otherCert, keyFile: otherKey, want: 401},
		{name: "certificate that may not speak for the tenant", certFile: agentCert, keyFile: agentKey, tenant: "third", want: 403},
		{name: "wrong authority", certFile: strangeCert, keyFile: strangeKey, want: 0},
	}
}

// TestLogins: every client against every way to authenticate. What is accepted
// lands in the tenant of who sent it; what is refused is refused by headers alone,
// so that nothing of a body is decoded.
func TestLogins(t *testing.T) {
	d := openDoor(t)
	logins := d.logins()
	lands := map[string]uint64{logins[0].lands: spansEach}
	harness.Until(t, 30*time.Second, func() string { return "the keys file is read again" }, func() bool { return d.curl(&logins[0]) == 200 })
	relay := d.collector(logins)
	clients := map[string]func(n int) int{
		"SDK over gRPC":       func(n int) int { return d.code(d.sdkGRPC(&logins[n])) },
		"SDK over HTTP":       func(n int) int { return d.code(d.sdkHTTP(&logins[n])) },
		"curl":                func(n int) int { return d.curl(&logins[n]) },
		"Collector over gRPC": func(n int) int { return d.code(relay(n, "grpc")) },
		"Collector over HTTP": func(n int) int { return d.code(relay(n, "http")) },
	}
	const bodies = "penstock_receiver_request_bytes_total"
	refused := map[int]float64{}
	for n, l := range logins {
		if l.want != 200 {
			continue
		}
		for client, send := range clients {
			if got := send(n); got != 200 {
				t.Errorf("%s: %s: got %d, want 200", client, l.name, got)
			}
			lands[l.lands] += spansEach
		}
	}
	before := d.up.Scrape()
	if before.Sum(bodies) == 0 {
		t.Error("nothing was decoded, so that the figure proves nothing")
	}
	for n, l := range logins {
		if l.want == 200 {
			continue
		}
		for client, send := range clients {
			if got := send(n); got != l.want {
				t.Errorf("%s: %s: got %d, want %d", client, l.name, got, l.want)
			}
			refused[l.want]++
		}
	}
	after := d.up.Scrape()
	if a, b := before.Sum(bodies), after.Sum(bodies); a != b {
		t.Errorf("%g bytes of requests that were refused at the door were decoded", b-a)
	}
	if a, b := before.Sum("penstock_receiver_accepted_spans_total"), after.Sum("penstock_receiver_accepted_spans_total"); a != b {
		t.Errorf("%g spans were accepted of who may not", b-a)
	}
	for want, outcome := range map[int]string{401: "unauthenticated", 403: "permission_denied"} {
		if n := after.Sum("penstock_receiver_requests_total", `outcome="`+outcome+`"`) - before.Sum("penstock_receiver_requests_total", `outcome="`+outcome+`"`); n != refused[want] {
			t.Errorf("%g requests were counted as %s, want %g", n, outcome, refused[want])
		}
	}
	harness.Until(t, 30*time.Second, func() string { return fmt.Sprintf("tenants at the backend are %v, want %v", d.sink.Tenants(), lands) },
		func() bool { return maps.Equal(d.sink.Tenants(), lands) })

	// Client credentials by a client of its own.
	d.issuer.Client("sdk", "sdk-secret", map[string]any{"tenant": "tokened"})
	if err := d.sdkOAuth2("sdk", "sdk-secret"); err != nil {
		t.Errorf("client credentials: %v", err)
	}
	if err := d.sdkOAuth2("sdk", "wrong"); err == nil {
		t.Error("a wrong client secret got in")
	}
	lands["tokened"] += spansEach
	harness.Until(t, 30*time.Second, func() string { return fmt.Sprintf("tenants at the backend are %v, want %v", d.sink.Tenants(), lands) },
		func() bool { return maps.Equal(d.sink.Tenants(), lands) })

	if n := after.Sum("penstock_tls_certificate_expiry_timestamp_seconds"); n < float64(4*time.Now().Unix()) {
		t.Errorf("the certificates of both ports do not tell when they expire: %g", n)
	}
	d.up.Terminate()
}

// TestCollectorLogsIn: the Collector with the client credentials of its extension
// oauth2client, over both transports; a wrong secret gets no token and sends
// nothing.
func TestCollectorLogsIn(t *testing.T) {
	d := openDoor(t)
	d.issuer.Client("otelcol", "otelcol-secret", map[string]any{"tenant": "tokened"})
	way := func(protocol, addr, secret string) harness.CollectorExport {
		return harness.CollectorExport{Listen: harness.FreeAddr(t), Protocol: protocol, Endpoint: addr, CAFile: d.caFile,
			TokenURL: d.issuer.TokenURL(), ClientID: "otelcol", ClientSecret: secret}
	}
	send := d.collectorOf([]harness.CollectorExport{way("grpc", d.up.GRPCAddr, "otelcol-secret"), way("http", d.up.HTTPAddr, "otelcol-secret"),
		way("grpc", d.up.GRPCAddr, "wrong"), way("http", d.up.HTTPAddr, "wrong")})
	for n, protocol := range []string{"grpc", "http"} {
		if err := send(n); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
		if err := send(n + 2); err == nil {
			t.Errorf("%s: a wrong client secret got in", protocol)
		}
	}
	if d.issuer.Issued() == 0 {
		t.Error("the issuer gave no token")
	}
	want := map[string]uint64{"tokened": 2 * spansEach}
	harness.Until(t, 30*time.Second, func() string { return fmt.Sprintf("tenants at the backend are %v, want %v", d.sink.Tenants(), want) },
		func() bool { return maps.Equal(d.sink.Tenants(), want) })
	d.up.Terminate()
}

// TestPenstockLogsIn: a Penstock whose destination is another, which wants a token
// that lives for two seconds. It is refreshed while data flows; nothing is refused
// and nothing is lost, also not while the issuer takes nobody.
func TestPenstockLogsIn(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) { logsIn(t, protocol) })
	}
}

func logsIn(t *testing.T, protocol string) {
	d := openDoor(t)
	d.issuer.Live(2 * time.Second)
	d.issuer.Client("penstock", "penstock-secret", map[string]any{"tenant": "tokened"})
	for _, listener := range []string{"GRPC", "HTTP"} { // of the first one alone
		for _, key := range []string{"CERT_FILE", "KEY_FILE", "CLIENT_CA_FILE", "CLIENT_AUTH"} {
			t.Setenv("PENSTOCK_GATEWAY_"+listener+"_TLS_"+key, "")
		}
	}
	endpoint := map[string]string{"grpc": d.up.GRPCAddr, "http": "https://" + d.up.HTTPAddr}[protocol]
	first := harness.NewUpTo(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "256MiB"}, fmt.Sprintf(
		"destinations:\n- name: second\n  protocol: %s\n  endpoints: [%q]\n  tls: {ca_file: %q}\n  on_refusal: dead_letter\n  retry: {initial: 100ms, max: 1s}\n  breaker: {initial: 100ms, max: 1s}\n"+
			"  auth: {oauth2: {token_url: %q, client_id: penstock, client_secret: penstock-secret, expiry_margin: 1s}}\n", protocol, endpoint, d.caFile, d.issuer.TokenURL()))
	first.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: first.GRPCAddr, HTTP: first.HTTPAddr, Signals: []otlp.Signal{otlp.Logs}, Items: 5, Clients: 2, Pause: 20 * time.Millisecond})
	harness.Until(t, 60*time.Second, func() string { return "several tokens are used one after the other" }, func() bool { return d.issuer.Issued() >= 4 })

	const failures = "penstock_exporter_send_failures_total"
	if m := first.Scrape(); m.Sum(failures) != 0 || m.Sum("penstock_exporter_tokens_refused_total") != 0 {
		t.Errorf("while tokens were refreshed %g exports failed and %g tokens were refused", m.Sum(failures), m.Sum("penstock_exporter_tokens_refused_total"))
	}
	// The issuer knows the client no more: exports wait, under their own code.
	d.issuer.Client("penstock", "another-secret", nil)
	harness.Until(t, 60*time.Second, func() string { return "exports fail for want of a token" },
		func() bool { return first.Scrape().Sum(failures, `code="no_token"`) > 0 })
	d.issuer.Client("penstock", "penstock-secret", map[string]any{"tenant": "tokened"})
	load.Stop()
	ledger.Check(t, d.sink, 60*time.Second)
	if m := first.Scrape(); m.Sum("penstock_exporter_dead_letters_total") != 0 {
		t.Errorf("%g messages are dead for want of a token", m.Sum("penstock_exporter_dead_letters_total"))
	}
	for tenant, n := range d.sink.Tenants() {
		if tenant != "tokened" {
			t.Errorf("%d items landed in tenant %q", n, tenant)
		}
	}
	if log := first.Log(); strings.Contains(log, "penstock-secret") || !strings.Contains(log, "invalid_client") {
		t.Error("the log shows the secret, or does not say what the issuer answered")
	}
	first.Terminate()
	d.up.Terminate()
}
