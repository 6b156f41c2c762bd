package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Packages of the binaries, for Binary.
const (
	Penstock     = "github.com/penstock-otel/penstock/cmd/penstock"
	Gateway      = "github.com/penstock-otel/penstock/cmd/gateway"
	Worker       = "github.com/penstock-otel/penstock/cmd/exporter-worker"
	Alerter      = "github.com/penstock-otel/penstock/cmd/alerter"
	Conformance  = "github.com/penstock-otel/penstock/conformance/cmd/otlp-conformance"
	NATSServer   = "github.com/nats-io/nats-server/v2"
	Telemetrygen = "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen"
)

// builds are made once per test process.
var builds = struct {
	mu   sync.Mutex // guards everything below
	dir  string
	made map[string]string
}{made: map[string]string{}}

// Binary builds the command and returns its path. What stands in the directory
// PENSTOCK_TEST_BIN under the command's name is taken as it is, to test what was
// built elsewhere. With PENSTOCK_TEST_RACE=1
// Penstock's own are built with the race detector; with GOCOVERDIR set they
// count coverage, which each process writes there at a graceful end.
func Binary(t testing.TB, pkg string) string {
	t.Helper()
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if path := builds.made[pkg]; path != "" {
		return path
	}
	name := filepath.Base(strings.TrimSuffix(pkg, "/v2"))
	if dir := os.Getenv("PENSTOCK_TEST_BIN"); dir != "" {
		if path := filepath.Join(dir, name); exists(path) {
			t.Logf("%s is %s", name, path)
			builds.made[pkg] = path
			return path
		}
	}
	if builds.dir == "" {
		dir, err := os.MkdirTemp("", "penstock-integration-bin")
		if err != nil {
			t.Fatal(err)
		}
		builds.dir = dir
	}
	path := filepath.Join(builds.dir, name)
	args := []string{"build", "-o", path}
	own := strings.HasPrefix(pkg, "github.com/penstock-otel/")
	if own && os.Getenv("PENSTOCK_TEST_RACE") == "1" {
		args = append(args, "-race")
	}
	if own && os.Getenv("GOCOVERDIR") != "" {
		args = append(args, "-cover", "-covermode=atomic", "-coverpkg=github.com/penstock-otel/penstock/...")
	}
	build := exec.Command("go", append(args, pkg)...)
	switch {
	case own, pkg == NATSServer:
		build.Dir = root(t)
	case pkg == Telemetrygen:
		build.Dir = filepath.Join(root(t), "tools", "telemetrygen")
	}
	// Coverage of this test process is not that of the go command.
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GOCOVERDIR=") {
			build.Env = append(build.Env, kv)
		}
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go %s in %q: %v\n%s", strings.Join(build.Args[1:], " "), build.Dir, err, out)
	}
	builds.made[pkg] = path
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// RemoveBinaries deletes what Binary built. For TestMain.
func RemoveBinaries() error {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	clear(builds.made)
	return os.RemoveAll(builds.dir)
}

// root is the directory of Penstock's main module, which is above this one.
var root = func() func(testing.TB) string {
	find := sync.OnceValues(func() (string, error) {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/penstock-otel/penstock").Output()
		return strings.TrimSpace(string(out)), err
	})
	return func(t testing.TB) string {
		t.Helper()
		dir, err := find()
		if err != nil {
			t.Fatalf("find the main module: %v", err)
		}
		return dir
	}
}()
