package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/role"
	"github.com/penstock-otel/penstock/internal/settings"
)

// TestWhatToTry wants a command and an address that work with what is configured.
func TestWhatToTry(t *testing.T) {
	all := role.Running{GRPC: "[::]:4317", HTTP: "127.0.0.1:4318", Admin: "0.0.0.0:8080"}
	f := func(r role.Running, edit func(*settings.Settings), try, look string) {
		t.Helper()
		s := settings.Default()
		edit(&s)
		var b strings.Builder
		announce(&b, &s, r, false)
		for _, line := range []string{"  try          " + try + "\n", "  look at      " + look + "\n"} {
			if !strings.Contains(b.String(), line) {
				t.Errorf("%q is not in\n%s", line, b.String())
			}
		}
	}
	f(all, func(*settings.Settings) {}, "penstock send --target 127.0.0.1:4317 --signal traces --count 1000", "http://127.0.0.1:8080")
	f(all, func(s *settings.Settings) { s.Auth.KeysFile = "keys" }, "penstock send --target 127.0.0.1:4317 --token-file FILE --signal traces --count 1000", "http://127.0.0.1:8080")
	f(all, func(s *settings.Settings) { s.Auth.KeysFile, s.Auth.AnonymousRoles = "keys", []string{"ingest"} },
		"penstock send --target 127.0.0.1:4317 --signal traces --count 1000", "http://127.0.0.1:8080")
	f(all, func(s *settings.Settings) {
		s.Gateway.GRPC.TLS.CertFile, s.Gateway.GRPC.TLS.KeyFile, s.Gateway.GRPC.TLS.ClientCAFile = "a", "b", "c"
	}, "penstock send --target 127.0.0.1:4317 --ca-file FILE --cert-file FILE --key-file FILE --signal traces --count 1000", "http://127.0.0.1:8080")
	f(role.Running{HTTP: all.HTTP, Admin: all.Admin}, func(s *settings.Settings) {
		s.Gateway.HTTP.TLS.CertFile, s.Gateway.HTTP.TLS.KeyFile = "a", "b"
		s.Admin.TLS.CertFile, s.Admin.TLS.KeyFile = "a", "b"
	}, "penstock send --protocol http --target https://127.0.0.1:4318 --ca-file FILE --signal traces --count 1000", "https://127.0.0.1:8080")
}

// TestDemoNeedsACredential says so before anything starts, not after it.
func TestDemoNeedsACredential(t *testing.T) {
	t.Setenv(settings.EnvToken, "")
	code, _, errOut := run(t, "up", "--demo", "--set", "auth.keys_file=keys", "--queue-dir", t.TempDir())
	if code != 2 || !strings.Contains(errOut, "--demo") || !strings.Contains(errOut, "$"+settings.EnvToken) {
		t.Errorf("%d %s", code, errOut)
	}
}

// TestTheBoiler runs hot long enough to be told of, and cools down within a minute.
func TestTheBoiler(t *testing.T) {
	now := time.Now()
	for since, want := range map[time.Duration]string{0: `"60"`, 5 * time.Second: `"90"`, 54 * time.Second: `"90"`, 55 * time.Second: `"60"`, 119 * time.Second: `"60"`, 126 * time.Second: `"90"`} {
		var body struct {
			ResourceMetrics []struct {
				ScopeMetrics []struct{ Metrics []struct{ Name string } }
			}
		}
		text := boiler(now, since)
		if err := json.Unmarshal(text, &body); err != nil || body.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].Name != "demo.boiler.temperature" || !strings.Contains(string(text), `"asInt":`+want) {
			t.Errorf("after %s: %v, %s", since, err, text)
		}
	}
}
