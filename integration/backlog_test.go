package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
)

const (
	backlogBytes   = 64 << 20  // as stored, compressed: four times what is pulled in advance
	backlogMaxRSS  = 200 << 20 // of the worker that drains it
	backlogRequest = 1000
)

// TestBacklog: I5. A worker that starts before a queue full of data takes no
// more memory than one that keeps up. `go run ./bench backlog` measures the same
// with more, and the times.
func TestBacklog(t *testing.T) {
	sink := harness.NewSink(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destination := harness.GRPCDestination(sink.GRPCAddr)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "process", MaxBytes: "4GiB"}, destination)
	worker := harness.NewWorker(t, harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "process", MaxBytes: "4GiB"}, destination)
	gateway.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: gateway.GRPCAddr, Signals: []otlp.Signal{otlp.Traces}, Items: backlogRequest})
	broker := harness.DialBroker(t, "nats://"+listen)
	stored := func() uint64 { return broker.Bytes("PENSTOCK_TRACES_0") }
	harness.Until(t, 120*time.Second, func() string { return fmt.Sprintf("a backlog of %d MiB: %d", backlogBytes>>20, stored()>>20) }, func() bool { return stored() >= backlogBytes })
	load.Stop()
	if got := sink.Arrived(); got.Items != 0 {
		t.Fatalf("no worker runs, and %+v arrived", got)
	}
	began, backlog := time.Now(), ledger.Counts().AckedItems
	worker.Start()
	if again := ledger.Check(t, sink, 120*time.Second); again != 0 {
		t.Errorf("%d items arrived twice although nothing failed", again)
	}
	u := worker.Usage()
	t.Logf("%d items in %d MiB drained in %s; the worker had %d MiB at most", backlog, stored()>>20, time.Since(began).Round(time.Millisecond), u.PeakRSS>>20)
	if u.PeakRSS > backlogMaxRSS {
		t.Errorf("seed %d: a worker that drains %d MiB had %d MiB resident, want at most %d", ledger.Seed, stored()>>20, u.PeakRSS>>20, backlogMaxRSS>>20)
	}
	assertBounded(t, gateway)
	worker.Terminate()
	gateway.Terminate()
}
