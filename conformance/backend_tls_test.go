package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// pair is the TLS of a backend at 127.0.0.1, and that of a client who trusts it.
func pair(t *testing.T) (backend, client *tls.Config) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return &tls.Config{Certificates: srv.TLS.Certificates}, &tls.Config{RootCAs: roots}
}

// TestBackendsSpeakTLS: the scripts work over TLS as they do in plain text, and what
// does not come through says why.
func TestBackendsSpeakTLS(t *testing.T) {
	backend, trusting := pair(t)
	for _, x := range []struct {
		name     string
		client   *tls.Config // nil: plain text
		patience time.Duration
		want     map[string]Outcome
		onGRPC   string // in the word on what does not arrive
		onHTTP   string
	}{
		{"trusting", trusting, 30 * time.Second, map[string]Outcome{"C1": Pass, "C3": Fail, "K1": Fail, "K3": Pass, "K8": Pass}, "", ""},
		{"of other roots", &tls.Config{RootCAs: x509.NewCertPool()}, 5 * time.Second, map[string]Outcome{"C7": Fail, "K3": Fail}, "bad certificate", "bad certificate"},
		{"in plain text", nil, 5 * time.Second, map[string]Outcome{"C7": Fail, "K3": Fail}, "not look like a TLS handshake", "HTTP request to an HTTPS server"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			for _, over := range []string{"C", "K"} {
				d, to, hint := newDeviant(t), freeAddr(t), x.onGRPC
				d.export = exporter(t, to, x.client, 20, true)
				c := Config{GRPC: d.addr, BackendGRPC: to}
				if over == "K" {
					c, hint = Config{HTTP: "http://" + d.addr, BackendHTTP: to}, x.onHTTP
				}
				c.BackendTLS, c.Patience, c.Quiet = backend, x.patience, time.Second
				want := map[string]Outcome{}
				for id, o := range x.want {
					if strings.HasPrefix(id, over) {
						want[id], c.Rows = o, append(c.Rows, id)
					}
				}
				got := outcomes(t, c)
				wantOutcomes(t, got, want)
				for id, r := range got {
					if seen := r.Cases[0].Seen; hint != "" && !strings.Contains(seen, hint) {
						t.Errorf("row %s: seen %q, want a word of %q", id, seen, hint)
					}
				}
			}
		})
	}
}

func TestHandshakesThatSayWhy(t *testing.T) {
	var h handshakes
	say := func(what string) string {
		if _, err := h.Write([]byte("http: TLS handshake error from 127.0.0.1:1: " + what + "\n")); err != nil {
			t.Fatal(err)
		}
		return h.hint()
	}
	for _, x := range []struct{ said, want string }{{"EOF", ": EOF"}, {"bad certificate", "bad certificate"}, {"EOF", "bad certificate"}, {"no TLS", "no TLS"}} {
		if got := say(x.said); !strings.HasSuffix(got, x.want) {
			t.Errorf("after %q: %q, want the end %q", x.said, got, x.want)
		}
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	var h handshakes
	for _, line := range []string{"http: something else\n", "http: TLS handshake error from 127.0.0.1:1: " + strings.Repeat("x", 10_000) + "\n", "more\n"} {
		if n, err := h.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%d of %d bytes, %v", n, len(line), err)
		}
	}
	if s := h.hint(); !strings.Contains(s, "127.0.0.1:1: xxx") || len(s) > maxHandshake+100 {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
