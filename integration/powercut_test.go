package integration

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// cutUnderLoad sends while the backend is down, cuts the power of the queue's
// disk, and says how many acknowledged items were still there afterwards, once
// the backend was up: missing is the rest.
func cutUnderLoad(t *testing.T, durability string) (missing uint64) {
	t.Helper()
	quickRedelivery(t)
	disk := harness.NewDisk(t, 1<<30)
	sink := harness.NewSink(t)
	up := harness.NewUp(t, harness.Queue{Dir: filepath.Join(disk.Dir, "queue"), Durability: durability, MaxBytes: "600MiB"}, sink)
	ledger := harness.NewLedger(harness.Seed(t))
	sink.Down() // what was exported before the cut could not be lost by it
	up.Start()
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Pause: time.Millisecond, Patience: 3 * time.Second})
	underLoad(t, ledger, 500)
	ledger.Freeze()
	disk.Cut()
	up.Kill()
	load.Stop()
	disk.Restore()
	sink.Up()
	up.Start()
	if durability == "strict" {
		ledger.Check(t, sink, 60*time.Second)
	} else {
		settle(t, sink)
	}
	missing, where := ledger.Missing(sink)
	got, c := sink.Arrived(), ledger.Counts()
	late, lateMissing := ledger.Late(sink)
	t.Logf("%s: power cut after %d acknowledged requests with %d items: %d items lost %q, %d arrived, %d of them again; %d items acknowledged while the power went, %d of these lost",
		durability, c.Acked, c.AckedItems, missing, where[:min(len(where), 3)], got.Items, got.Duplicates, late, lateMissing)
	up.Terminate()
	return missing
}

// settle waits until nothing has arrived for longer than a redelivery takes.
func settle(t *testing.T, sink *harness.Sink) {
	t.Helper()
	last, since := sink.Arrived(), time.Now()
	harness.Until(t, 60*time.Second, func() string { return "items go on arriving" }, func() bool {
		if now := sink.Arrived(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 5*time.Second
	})
}

// TestPowerCut: I1 with the default durability. What was acknowledged before the
// power went is there after it came back.
func TestPowerCut(t *testing.T) {
	for _, cut := range []string{"first", "second", "third"} {
		t.Run(cut, func(t *testing.T) {
			if missing := cutUnderLoad(t, "strict"); missing != 0 {
				t.Errorf("%d acknowledged items did not survive", missing)
			}
		})
	}
}

// TestPowerCutBites is the control: the same cut without a sync for each commit
// loses data. Were it not so, TestPowerCut would prove nothing.
func TestPowerCutBites(t *testing.T) {
	for range 5 {
		if cutUnderLoad(t, "process") > 0 {
			return
		}
	}
	t.Error("five power cuts lost nothing although nothing was synced: the cut does not bite, and TestPowerCut proves nothing")
}
