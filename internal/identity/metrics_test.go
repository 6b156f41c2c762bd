package identity

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// is wants the value of a metric; labels are names and values.
func (r *rig) is(name string, want float64, labels ...string) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetName(), l.GetValue())
			}
			if slices.Equal(have, labels) {
				if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want {
					r.t.Errorf("%s%v is %v, want %v", name, labels, got, want)
				}
				return
			}
		}
	}
	r.t.Errorf("there is no %s%v", name, labels)
}

func TestRequestsAreCounted(t *testing.T) {
	k, secret := newKey(t, Key{Name: "k"})
	ec := ecSigner(t, "ec")
	p := newProvider(t, ec)
	r := started(t, Config{KeysFile: keysFile(t, k), Issuers: []Issuer{p.config()}})
	r.ok(bearer(secret))
	r.ok(Credentials{Key: secret})
	r.ok(bearer(ec.token(t, p.claims(r.clock.now()))))
	r.fails(FailMissing, Credentials{})
	r.fails(FailMalformed, Credentials{Authorization: "x"})
	r.fails(FailMalformed, bearer("x"))
	f := func(method, outcome string, want float64) {
		t.Helper()
		r.is("penstock_auth_requests_total", want, "method", method, "outcome", outcome)
	}
	f(MethodKey, outcomeOK, 2)
	f(MethodToken, outcomeOK, 1)
	f(MethodToken, FailMalformed, 1)
	f(MethodAnonymous, FailMissing, 1)
	f(methodUnrecognized, FailMalformed, 1)
	f(MethodCertificate, outcomeOK, 0)
	r.is("penstock_auth_issuer_keys", 1, "issuer", p.server.URL)
	r.is("penstock_auth_issuer_fetches_total", 1, "issuer", p.server.URL, "outcome", "ok")
	r.is("penstock_auth_issuer_last_fetch_timestamp_seconds", float64(r.clock.now().UnixNano())/1e9, "issuer", p.server.URL)
	problems, err := testutil.GatherAndLint(r.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}
