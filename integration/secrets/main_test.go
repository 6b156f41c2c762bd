// Package secrets holds that no secret is told anywhere. It is a package of its
// own because it knows the configuration by its types, and with them links the
// product: that changes the compressors of gRPC for the whole test program, and
// the clients of package integration want those of gRPC.
package secrets

import (
	"fmt"
	"os"
	"testing"

	"github.com/penstock-otel/penstock/integration/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := harness.RemoveBinaries(); err != nil {
		fmt.Fprintln(os.Stderr, "remove the binaries:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
