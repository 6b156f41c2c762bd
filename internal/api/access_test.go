package api

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/replay"
)

// keys is an authenticator with a key for each role.
func keys(t *testing.T) (*identity.Authenticator, map[string]string) {
	t.Helper()
	secrets := map[string]string{}
	var all []identity.Key
	for _, role := range []string{"view", "operate", "admin"} {
		k, secret, err := identity.NewKey(identity.Key{Name: role + "-key", Roles: []string{role}, Created: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		all, secrets[role] = append(all, k), secret.Reveal()
	}
	text, err := identity.FormatKeys(all)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := identity.New(t.Context(), identity.Config{KeysFile: name}, identity.Options{Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a, secrets
}

// TestEveryRouteIsGuardedAsDocumented asks each operation of the document without
// a credential, with too small a one, and with the one that it says it needs.
func TestEveryRouteIsGuardedAsDocumented(t *testing.T) {
	a, secrets := keys(t)
	r := startAs(t, admin.Config{}, a, secrets["view"])
	less := map[string]string{"operate": "view", "admin": "operate"}
	for path, item := range r.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Security == nil || len(*op.Security) != 5 {
				t.Errorf("%s %s has the security %v", method, path, op.Security)
				continue
			}
			var role string
			for _, s := range *op.Security {
				for _, roles := range s {
					role = roles[0]
				}
			}
			path := strings.NewReplacer(Prefix, "", "{id}", "none", "{name}", "none", "{sequence}", "1").Replace(path)
			if status, body := r.ask(method, path, nil); status != http.StatusUnauthorized {
				t.Errorf("%s %s without a credential: %d %s", method, path, status, body)
			}
			if less[role] != "" {
				if status, body := r.ask(method, path, nil, "X-Api-Key", secrets[less[role]]); status != http.StatusForbidden || !strings.Contains(string(body), "needs the role "+role) {
					t.Errorf("%s %s as %s: %d %s", method, path, less[role], status, body)
				}
			}
			if path == "/tap" {
				continue // it would not end
			}
			if status, body := r.ask(method, path, nil, "X-Api-Key", secrets[role]); slices.Contains([]int{401, 403}, status) {
				t.Errorf("%s %s as %s: %d %s", method, path, role, status, body)
			}
		}
	}
}

// TestActionsAreLoggedWithWho has the subject in the log and in what is kept.
func TestActionsAreLoggedWithWho(t *testing.T) {
	a, secrets := keys(t)
	r := startAs(t, admin.Config{}, a, secrets["view"])
	r.put(otlp.Traces, "", 3)
	status, body := r.ask(http.MethodPost, "/replay", ReplayRequest{ID: "mine", Spec: replay.Spec{Destination: "backend", Signals: []string{"traces"}}}, "Authorization", "Bearer "+secrets["operate"])
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	log := r.log.String()
	if !strings.Contains(log, `"subject":"key:operate-key","method":"api_key"`) || strings.Contains(log, secrets["operate"]) {
		t.Errorf("the log is %s", log)
	}
	if e := r.audit.of("start replay"); len(e) != 1 || e[0].Subject != "key:operate-key" || e[0].Method != identity.MethodKey || e[0].Outcome != audit.Done {
		t.Errorf("recorded: %+v", e)
	}
	j, err := job.NewStore(r.q).Get(t.Context(), "mine")
	if err != nil || !strings.HasPrefix(j.By, "key:operate-key at 127.0.0.1:") {
		t.Errorf("the job was made by %q, %v", j.By, err)
	}
}
