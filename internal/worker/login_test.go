package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
)

func TestLoginIsRefusedInTheUsersWords(t *testing.T) {
	f := func(want, protocol string, edit func(*worker.Destination)) {
		t.Helper()
		endpoint := map[string][]string{"grpc": {"a.example.com:4317"}, "http": {"https://a.example.com"}, "file": {"x"}}[protocol]
		d := spoken(protocol, endpoint...)
		d.TLS.Insecure = false
		edit(&d)
		err := config.Validate(d)
		switch {
		case want == "" && err != nil:
			t.Error(err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	token := func(d *worker.Destination) { d.Auth.BearerFile = "token" }
	f("", "grpc", token)
	f("", "grpc", func(d *worker.Destination) { token(d); d.TLS.Insecure = true }) // meant
	f("", "http", token)
	f("", "http", func(d *worker.Destination) { token(d); d.Endpoints = []string{"http://127.0.0.1:4318"} })
	f("", "http", func(d *worker.Destination) {
		token(d)
		d.Endpoints, d.TLS.Insecure = []string{"http://a.example.com"}, true
	})
	f("auth: would send its token to http://a.example.com in plain text: write https://, or tls: {insecure: true} if that is meant", "http",
		func(d *worker.Destination) { token(d); d.Endpoints = []string{"http://a.example.com"} })
	f("headers[1].name: is Authorization, which auth sets: remove one or the other", "grpc", func(d *worker.Destination) {
		token(d)
		d.Headers = []config.NameValue{{Name: "x-a", Value: "1"}, {Name: "Authorization", Value: "s3cret"}}
	})
	f("", "grpc", func(d *worker.Destination) { d.Headers = []config.NameValue{{Name: "Authorization", Value: "s3cret"}} })
	f("auth: is given, and protocol file logs in nowhere: remove it", "file", token)
	f("auth: is given, and protocol debug logs in nowhere: remove it", "debug", token)
	f("auth.oauth2.client_id: is empty: the token endpoint must know who asks", "grpc", func(d *worker.Destination) {
		d.Auth.OAuth2.TokenURL, d.Auth.OAuth2.ClientSecret = "https://b/token", "s3cret"
	})
	f("", "grpc", func(d *worker.Destination) { d.TenantHeader = "X-Scope-OrgID" })
	f("", "http", func(d *worker.Destination) { d.TenantHeader = "X-Scope-OrgID" })
	f("tenant_header: is given, and protocol file has no headers: remove it", "file", func(d *worker.Destination) { d.TenantHeader = "x" })
	f(`tenant_header: is "a b": no header name, want letters, digits and '-'`, "http", func(d *worker.Destination) { d.TenantHeader = "a b" })
	f(`tenant_header: is "x!y": no header name in gRPC, want letters, digits, '-', '_' or '.'`, "grpc", func(d *worker.Destination) { d.TenantHeader = "x!y" })
	f("tenant_header: is authorization: a tenant is no credential", "http", func(d *worker.Destination) { d.TenantHeader = "authorization" })
}

// Live, merged and split, each request carries the tenant of its records, whatever
// their names.
func TestTenantReachesTheDestination(t *testing.T) {
	for what, edit := range map[string]func(*worker.Destination){
		"merged": merging,
		"split":  func(d *worker.Destination) { d.MaxRequestBytes = 2 * config.KiB },
	} {
		t.Run(what, func(t *testing.T) {
			b := serveBackend(t)
			r := liveRig(t, open(t, server(t)), at(b, edit, func(d *worker.Destination) { d.TenantHeader = "X-Scope-OrgID" }))
			want := map[string]int{}
			for i, tenant := range []string{"acme", "acme", "globex", "", "", "a b", "50%", "acme", "acme", "a b"} {
				raw := sample.New(uint64(i), sample.Shape{}).Append(nil, otlp.Logs, 10, time.Unix(1_700_000_000, 0))
				r.publish(topology.Stream(otlp.Logs, 0), record.Encode(&record.Record{ID: fmt.Sprintf("01TENANT%06d", i), Signal: otlp.Logs, Tenant: tenant,
					Codec: "none", Items: 10, RawBytes: len(raw), Body: raw}))
				want[strings.NewReplacer("%", "%25", " ", "%20").Replace(tenant)] += 10
			}
			r.start()
			until(t, "the acks", func() bool { return r.state(otlp.Logs, "backend").AckFloor == 10 })
			r.stop()
			got := map[string]int{}
			for i, m := range b.got {
				values := b.metadata[i].Get("x-scope-orgid")
				tenant := strings.Join(values, ",")
				if (len(values) == 0) != (tenant == "") {
					t.Errorf("an empty header came: %q", values)
				}
				for _, res := range m.(*collogs.ExportLogsServiceRequest).ResourceLogs {
					for _, scope := range res.ScopeLogs {
						got[tenant] += len(scope.LogRecords)
					}
				}
			}
			for tenant, n := range want {
				if got[tenant] != n {
					t.Errorf("%d items came for tenant %q, want %d; all: %v", got[tenant], tenant, n, got)
				}
			}
			if what == "merged" && len(b.got) >= 10 || what == "split" && len(b.got) <= 10 {
				t.Errorf("%d requests: nothing was %s", len(b.got), what)
			}
		})
	}
}

// A token that was rotated costs no data, not even where refusals are deaths.
func TestARotatedTokenBuriesNothing(t *testing.T) {
	b := serveBackend(t)
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("token-1-old\n")
	r := liveRig(t, open(t, server(t)), at(b, noBreaker, func(d *worker.Destination) { d.Auth.BearerFile, d.OnRefusal = file, worker.DeadLetter }))
	b.answer = func(n int) error { // mu is held
		if v := b.metadata[n-1].Get("authorization"); !slices.Equal(v, []string{"Bearer token-2-new"}) {
			return status.Error(codes.Unauthenticated, "who is that?")
		}
		return nil
	}
	write("token-2-new\n") // a moment ago: nobody has looked since
	for range 5 {
		r.put(otlp.Logs, "s2", 3)
	}
	r.start()
	until(t, "the acks", func() bool { return r.state(otlp.Logs, "backend").AckFloor == 5 })
	r.stop()
	if dead := r.dead(); len(dead) > 0 {
		t.Errorf("%d dead letters", len(dead))
	}
	r.wantMetric(15, "penstock_exporter_sent_log_records_total")
}
