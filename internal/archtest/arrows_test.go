// Package archtest holds the shape of the tree: which package may import which.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/penstock-otel/penstock/"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

// list runs go list over the module.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 20 {
		t.Fatalf("go list found %d packages: the test looks at the wrong place", len(pkgs))
	}
	return pkgs
}

// floors are the storeys of internal/: a package imports only below itself.
var floors = []string{
	"internal/config", "internal/app", "internal/otlp", "internal/sample", "internal/copies", // know nobody
	"internal/identity",
	"internal/grpcwire", "internal/admin", "internal/tenant",
	"internal/record", "internal/topology",
	"internal/audit",
	"internal/deadletter", "internal/job", "internal/fleet", "internal/ledger", "internal/tap", "internal/queuewatch", "internal/janitor", "internal/pressure",
	"internal/alerting",
	"internal/gateway", "internal/worker", "internal/alerter", "internal/send", "internal/broker",
	"internal/replay",
	"internal/api",
	"internal/settings",
	"internal/reload",
	"internal/role",
	"internal/cli",
}

// floor is the storey of a package, by its longest prefix; -1 when it has none.
func floor(path string) int {
	for i, f := range floors {
		if path == module+f || strings.HasPrefix(path, module+f+"/") {
			return i
		}
	}
	return -1
}

func TestArrowsPointDown(t *testing.T) {
	// Those of one storey that may not see each other.
	apart := [][2]string{
		{"internal/gateway", "internal/worker"}, {"internal/worker", "internal/gateway"},
		{"internal/alerter", "internal/gateway"}, {"internal/alerter", "internal/worker"},
		{"internal/gateway", "internal/alerter"}, {"internal/worker", "internal/alerter"},
	}
	for _, p := range list(t) {
		local := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			to := strings.TrimPrefix(imported, module)
			if strings.HasPrefix(local, "pkg/") && !within(local, to) {
				t.Errorf("%s imports %s: packages below pkg/ stand alone", local, to)
			}
			if strings.HasPrefix(local, "conformance") && !strings.HasPrefix(to, "conformance") {
				t.Errorf("%s imports %s: the conformance suite is for every endpoint, and stands alone", local, to)
			}
			if strings.HasPrefix(to, "conformance") && !strings.HasPrefix(local, "conformance") {
				t.Errorf("%s imports %s: the product does not link the conformance suite", local, to)
			}
			if strings.HasPrefix(to, "cmd/") {
				t.Errorf("%s imports %s: nothing imports a command", local, to)
			}
			if floor(p.ImportPath) >= 0 && floor(imported) > floor(p.ImportPath) {
				t.Errorf("%s imports %s: that is upwards", local, to)
			}
			for _, a := range apart {
				if strings.HasPrefix(local, a[0]) && strings.HasPrefix(to, a[1]) {
					t.Errorf("%s imports %s: roles meet only in internal/role", local, to)
				}
			}
		}
		if strings.HasPrefix(local, "internal/") && floor(p.ImportPath) < 0 && local != "internal/archtest" {
			t.Errorf("%s has no storey: give it one in this test", local)
		}
	}
}

// within tells whether to is the same library as from: pkg/queue and below it.
func within(from, to string) bool {
	library := func(path string) string {
		parts := strings.SplitN(path, "/", 3)
		return strings.Join(parts[:min(2, len(parts))], "/")
	}
	return library(from) == library(to)
}

func TestWorkerAndAlerterLinkNoServer(t *testing.T) {
	for _, p := range list(t) {
		if !strings.HasSuffix(p.ImportPath, "cmd/exporter-worker") && !strings.HasSuffix(p.ImportPath, "cmd/alerter") {
			continue
		}
		for _, d := range p.Deps {
			if strings.HasPrefix(d, "github.com/nats-io/nats-server/") {
				t.Errorf("%s links %s: only what may embed the queue does", p.ImportPath, d)
			}
		}
	}
}

// TestGatewayAndWorkerLinkNoAlerter keeps what evaluates rules out of what carries
// data: it is larger than all the rest.
func TestGatewayAndWorkerLinkNoAlerter(t *testing.T) {
	for _, p := range list(t) {
		if !strings.HasSuffix(p.ImportPath, "cmd/exporter-worker") && !strings.HasSuffix(p.ImportPath, "cmd/gateway") {
			continue
		}
		for _, d := range p.Deps {
			if strings.HasPrefix(d, "github.com/prometheus/prometheus/") || strings.HasPrefix(d, "github.com/prometheus/alertmanager/") || d == module+"internal/alerter" {
				t.Errorf("%s links %s: only what may alert does", p.ImportPath, d)
			}
		}
	}
}

// TestProductDoesNotLinkTestHelp keeps the suites and the Collector's test data
// out of the binaries.
func TestProductDoesNotLinkTestHelp(t *testing.T) {
	all := list(t)
	tests := map[string]bool{} // Prometheus' tsdb links testing, which is not for us to change
	for _, p := range all {
		tests[p.ImportPath] = slices.Contains(p.Imports, "testing") || strings.HasSuffix(p.ImportPath, "test")
	}
	for _, p := range all {
		if !strings.Contains(p.ImportPath, "/cmd/") {
			continue
		}
		for _, d := range p.Deps {
			if tests[d] {
				t.Errorf("%s links %s", p.ImportPath, d)
			}
			if d == "testing" && !slices.Contains(p.Deps, "github.com/prometheus/prometheus/tsdb") {
				t.Errorf("%s links testing", p.ImportPath)
			}
		}
	}
}

// TestUpstreamsAreHidden keeps libraries whose Go API changes with every release
// behind the one package that translates them, and out of the libraries.
func TestUpstreamsAreHidden(t *testing.T) {
	only := map[string]string{
		"github.com/prometheus/prometheus/":                          "internal/alerter/promrules",
		"github.com/prometheus/otlptranslator":                       "internal/alerter/promrules",
		"github.com/open-telemetry/opentelemetry-collector-contrib/": "internal/alerter/promrules",
		"github.com/prometheus/alertmanager/":                        "internal/alerter/amnotify",
		"github.com/redis/go-redis/":                                 "pkg/alerts/redis",
	}
	used := map[string]bool{}
	for _, p := range list(t) {
		local := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range append(append(p.Imports, p.TestImports...), p.XTestImports...) {
			for prefix, at := range only {
				if !strings.HasPrefix(imported, prefix) {
					continue
				}
				used[prefix] = true
				if local != at {
					t.Errorf("%s imports %s: only %s does", local, imported, at)
				}
			}
		}
	}
	if !used["github.com/prometheus/prometheus/"] {
		t.Error("nobody imports Prometheus: the test looks for the wrong thing")
	}
}
