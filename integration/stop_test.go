package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// stopSteps are the log's own words for a stop of penstock up, from the clients'
// side towards the back end.
var stopSteps = []string{
	"stop taking, finish OTLP requests",
	"flush and confirm commit groups",
	"stop pulling, finish exports",
	"close the queue",
	"stop embedded NATS server",
}

func assertSteps(t *testing.T, log string, steps ...string) {
	t.Helper()
	at := 0
	for _, s := range steps {
		i := strings.Index(log[at:], s)
		if i < 0 {
			t.Errorf("the log of the stop lacks %q, or has it too early", s)
			continue
		}
		at += i
	}
}

// TestStopUpUnderLoad: SIGTERM while clients send ends with code 0, after steps
// that are named, and neither loses nor repeats anything.
func TestStopUpUnderLoad(t *testing.T) {
	sink := harness.NewSink(t)
	up := harness.NewUp(t, harness.Queue{Dir: t.TempDir(), Durability: "strict", MaxBytes: "2GiB"}, sink)
	ledger := harness.NewLedger(harness.Seed(t))
	up.Start()
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr})
	for range 2 {
		underLoad(t, ledger, 200)
		up.Terminate()
		assertSteps(t, up.Log(), stopSteps...)
		up.Start()
	}
	underLoad(t, ledger, 50)
	load.Stop()
	if again := ledger.Check(t, sink, 90*time.Second); again != 0 {
		t.Errorf("%d items arrived twice although nothing crashed", again)
	}
	up.Terminate()
}

// TestStopRolesUnderLoad: the same for the roles apart, the worker first.
func TestStopRolesUnderLoad(t *testing.T) {
	// What a stopped worker gave back, the queue forgets to offer at once when it
	// is restarted too: it comes after this time.
	t.Setenv("PENSTOCK_WORKER_ACK_WAIT", "10s")
	sink := harness.NewSink(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destination := harness.GRPCDestination(sink.GRPCAddr)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "strict", MaxBytes: "2GiB"}, destination)
	worker := harness.NewWorker(t, harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "strict", MaxBytes: "2GiB"}, destination)
	ledger := harness.NewLedger(harness.Seed(t))
	gateway.Start()
	worker.Start()
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr})
	underLoad(t, ledger, 200)
	worker.Terminate()
	underLoad(t, ledger, 50)
	gateway.Terminate()
	gateway.Start()
	worker.Start()
	underLoad(t, ledger, 50)
	load.Stop()
	if again := ledger.Check(t, sink, 90*time.Second); again != 0 {
		t.Errorf("%d items arrived twice although nothing crashed", again)
	}
	worker.Terminate()
	gateway.Terminate()
}
