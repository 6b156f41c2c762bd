package receiver

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/tenant"
)

// book notes what the door tells the audit stream.
type book struct {
	mu     sync.Mutex
	events []audit.Event
}

func (b *book) Record(e audit.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
}

func (b *book) take() []audit.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.events
	b.events = nil
	return e
}

// keyed is a door to which these keys are known; the names of keys lead to what
// their owners send.
func keyed(t testing.TB, b *book, keys ...identity.Key) (func(*setup), map[string]string) {
	secrets := map[string]string{}
	for i, k := range keys {
		k.Created = time.Now()
		made, secret, err := identity.NewKey(k)
		if err != nil {
			t.Fatal(err)
		}
		keys[i], secrets[k.Name] = made, secret.Reveal()
	}
	text, err := identity.FormatKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	auth, err := identity.New(t.Context(), identity.Config{KeysFile: file}, identity.Options{Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(auth.Close)
	known := tenant.New(tenant.DefaultConfig(), 1<<30, tenant.NewMetrics(prometheus.NewRegistry()))
	return func(s *setup) { s.door = Door{Authenticate: auth.Authenticate, Tenants: known, Audit: b} }, secrets
}

// Who may not enter is refused by headers alone, over both transports, and the
// audit stream is told; nothing of the body is read.
func TestDoor(t *testing.T) {
	var b book
	past := time.Now().Add(-time.Hour)
	door, secrets := keyed(t, &b,
		identity.Key{Name: "red", Roles: []string{"ingest"}, Tenant: "red"},
		identity.Key{Name: "proxy", Roles: []string{"ingest"}, Tenants: []string{"*"}},
		identity.Key{Name: "looks", Roles: []string{"view"}},
		identity.Key{Name: "revoked", Roles: []string{"ingest"}, RevokedAt: past},
		identity.Key{Name: "expired", Roles: []string{"ingest"}, Expires: past})
	d := open(t, door)
	const bearer, key, orgid = "Authorization", "X-Api-Key", "X-Scope-OrgID"
	for name, c := range map[string]struct {
		headers []string
		code    int
		grpc    codes.Code
		reason  string // in the audit stream
		tenant  string // of what is stored
	}{
		"bearer":         {[]string{bearer, "Bearer " + secrets["red"]}, 200, codes.OK, "", "red"},
		"key":            {[]string{key, secrets["red"]}, 200, codes.OK, "", "red"},
		"own tenant":     {[]string{key, secrets["red"], orgid, "red"}, 200, codes.OK, "", "red"},
		"speaks for":     {[]string{key, secrets["proxy"], orgid, "blue"}, 200, codes.OK, "", "blue"},
		"nothing":        {nil, 401, codes.Unauthenticated, identity.FailMissing, ""},
		"unknown":        {[]string{bearer, "Bearer pst_aaaaaaaaaa_" + strings.SplitN(secrets["red"], "_", 3)[2]}, 401, codes.Unauthenticated, identity.FailUnknown, ""},
		"garbage":        {[]string{bearer, "Bearer what is this"}, 401, codes.Unauthenticated, identity.FailMalformed, ""},
		"revoked":        {[]string{key, secrets["revoked"]}, 401, codes.Unauthenticated, identity.FailRevoked, ""},
		"expired":        {[]string{key, secrets["expired"]}, 401, codes.Unauthenticated, identity.FailExpired, ""},
		"the same twice": {[]string{key, secrets["red"], bearer, "Bearer " + secrets["red"]}, 200, codes.OK, "", "red"},
		"two":            {[]string{key, secrets["red"], bearer, "Bearer " + secrets["proxy"]}, 401, codes.Unauthenticated, identity.FailMalformed, ""},
		"no role":        {[]string{key, secrets["looks"]}, 403, codes.PermissionDenied, "role", ""},
		"foreign tenant": {[]string{key, secrets["red"], orgid, "blue"}, 403, codes.PermissionDenied, "tenant", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := d.q.StreamState(t.Context(), "T")
			r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url("/v1/traces"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(c.headers); i += 2 {
				r.Header.Set(c.headers[i], c.headers[i+1])
			}
			polite := client(t, "h1", nil)
			polite.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
			r.Header.Set("Content-Type", typeProtobuf)
			if c.code != 200 {
				r.Body, r.ContentLength = io.NopCloser(untouched{t}), 1<<20
				r.Header.Set("Expect", "100-continue") // the body is sent when it is asked for
			} else {
				r.Body = io.NopCloser(bytes.NewReader(request(otlp.Traces, 2)))
			}
			a, err := do(polite, r)
			if err != nil || a.code != c.code {
				t.Fatalf("HTTP: %v, %v; want %d", a, err, c.code)
			}
			if c.code == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Error("401 says no way to authenticate (RFC 9110, 15.5.2)")
			}
			ctx := testContext(t)
			for i := 0; i < len(c.headers); i += 2 {
				ctx = metadata.AppendToOutgoingContext(ctx, c.headers[i], c.headers[i+1])
			}
			refusedRPC(t, "gRPC", exportBytes(ctx, d.dial(t), otlp.Traces, request(otlp.Traces, 2)), c.grpc, false)
			events := b.take()
			after, _ := d.q.StreamState(t.Context(), "T")
			if c.code == 200 {
				if len(events) > 0 || after.LastSeq != before.LastSeq+2 {
					t.Fatalf("%d stored, audit %v", after.LastSeq-before.LastSeq, events)
				}
				for seq := before.LastSeq + 1; seq <= after.LastSeq; seq++ {
					m, _, err := d.q.Get(t.Context(), "T", seq)
					if err != nil || m.Header[record.HeaderTenant] != c.tenant {
						t.Errorf("stored of tenant %q, %v; want %q", m.Header[record.HeaderTenant], err, c.tenant)
					}
				}
				return
			}
			if after.LastSeq != before.LastSeq || len(events) != 2 || events[0].Reason != c.reason || events[0].Outcome != audit.Refused || events[0].Peer == "" ||
				events[0].Listener != "otlp_http" || events[1].Listener != "otlp_grpc" || events[1].Reason != c.reason {
				t.Errorf("%d stored, audit %+v; want two of reason %q", after.LastSeq-before.LastSeq, events, c.reason)
			}
		})
	}
	if n := d.count(t, "request_bytes_total"); n != 10*float64(len(request(otlp.Traces, 2))) {
		t.Errorf("%v bytes were checked, want those of the ten that entered", n)
	}
	for outcome, want := range map[string]float64{"unauthenticated": 12, "permission_denied": 4, "accepted": 10} {
		if n := d.count(t, "requests_total", "outcome", outcome); n != want {
			t.Errorf("%v requests are counted as %s, want %v", n, outcome, want)
		}
	}
}
