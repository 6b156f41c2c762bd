//go:build linux

package integration

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// TestFullDisk: something else fills the volume of the embedded queue under
// load. Clients are refused as retryable, nothing acknowledged is lost, and the
// queue goes on by itself once there is space.
func TestFullDisk(t *testing.T) {
	quickRedelivery(t)
	disk := harness.NewDisk(t, 256<<20)
	sink := harness.NewSink(t)
	up := harness.NewUp(t, harness.Queue{Dir: filepath.Join(disk.Dir, "queue"), Durability: "strict", MaxBytes: "150MiB"}, sink)
	up.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Retry: true, Pause: 5 * time.Millisecond, Patience: 12 * time.Second})
	underLoad(t, ledger, 100)

	filler := fill(t, filepath.Join(disk.Dir, "filler"))
	failed := tries(ledger)
	harness.Until(t, 60*time.Second, func() string { return "the clients do not notice that the disk is full" }, func() bool { return tries(ledger) > failed })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	acked := ledger.Counts().Acked
	harness.Until(t, 90*time.Second, func() string { return "the queue takes nothing although there is space again" },
		func() bool { return ledger.Counts().Acked > acked+100 })
	load.Stop()
	ledger.Check(t, sink, 60*time.Second)
	assertBounded(t, up)
	up.Terminate()
}

// fill writes a file until there is no space for another byte.
func fill(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
			t.Fatal(err)
		}
		err = nil
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}
