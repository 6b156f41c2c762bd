package integration

import (
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// TestLedgerOfAWorkerKilledYoung: a worker is killed seconds after its start,
// before it can have told what it exported, and the janitor purges all of it.
// Everything arrived: the ledger must not say that something is missing.
func TestLedgerOfAWorkerKilledYoung(t *testing.T) {
	quickRedelivery(t)
	t.Setenv("PENSTOCK_RETENTION_REPLAY_WINDOW", "0s")
	t.Setenv("PENSTOCK_RETENTION_EVERY", "1s")
	sink := harness.NewSink(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destination := harness.GRPCDestination(sink.GRPCAddr)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "process", MaxBytes: "2GiB"}, destination)
	worker := harness.NewWorker(t, harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "process", MaxBytes: "2GiB"}, destination)
	gateway.Start()
	worker.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr, Pause: 5 * time.Millisecond})
	underLoad(t, ledger, 200)
	worker.Kill()
	worker.Start()
	underLoad(t, ledger, 200)
	load.Stop()
	ledger.Check(t, sink, 30*time.Second)
	time.Sleep(30 * time.Second) // the killed one is dead by now, and the ledger has looked
	row := gateway.Ledger("backend", ledger.Counts().AckedItems, 60*time.Second)
	t.Logf("%+v", row)
	if row.Missing != 0 || row.Exported >= row.Accepted {
		t.Errorf("seed %d: the killed worker told of nothing, and the ledger says %+v", ledger.Seed, row)
	}
	worker.Terminate()
	gateway.Terminate()
}
