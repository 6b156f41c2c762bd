// Package integration runs Penstock's binaries with real clients, servers and
// disasters. Everything is started from outside; see harness.
package integration

import (
	"fmt"
	"os"
	"reflect"
	"testing"

	"google.golang.org/grpc/encoding"

	"github.com/penstock-otel/penstock/integration/harness"
)

func TestMain(m *testing.M) {
	if to := os.Getenv(bystanderEnv); to != "" { // this is a process that a test started
		os.Exit(bystander(to, os.Stdin, os.Stdout))
	}
	if os.Getenv(throwerEnv) == "1" {
		os.Exit(thrower(os.Stdin, os.Stdout))
	}
	code := m.Run()
	if err := harness.RemoveBinaries(); err != nil {
		fmt.Fprintln(os.Stderr, "remove the binaries:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// The clients of this package are to be those that users have: linking the product
// would replace gRPC's compressors by Penstock's, which only its own codec reads.
func TestClientsHaveTheirOwnCompressors(t *testing.T) {
	if of := reflect.TypeOf(encoding.GetCompressor("gzip")).Elem().PkgPath(); of != "google.golang.org/grpc/encoding/gzip" {
		t.Errorf("gzip is compressed by %s: a test of this package imports the product; give it a package of its own, as secrets has", of)
	}
}
