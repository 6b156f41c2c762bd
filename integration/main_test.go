// Package integration runs Penstock's binaries with real clients, servers and
// disasters. Everything is started from outside; see harness.
package integration

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
