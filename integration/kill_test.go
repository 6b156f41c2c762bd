package integration

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// kills of each of the tests below.
const kills = 10

// underLoad waits until that many more requests were acknowledged.
func underLoad(t *testing.T, l *harness.Ledger, requests int) {
	t.Helper()
	from := l.Counts().Acked
	harness.Until(t, 30*time.Second, func() string { return "no requests are acknowledged" }, func() bool {
		return l.Counts().Acked >= from+requests
	})
}

// pause is up to half a second of the seed: a kill is to come at any moment of
// a commit, a fetch or an export.
func pause(r *rand.Rand) { time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond) }

// TestKillUp: I1 and I9 through kill -9 of everything at once.
func TestKillUp(t *testing.T) {
	quickRedelivery(t)
	sink := harness.NewSink(t)
	up := harness.NewUp(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "2GiB"}, sink)
	ledger := harness.NewLedger(harness.Seed(t))
	r := rand.New(rand.NewPCG(ledger.Seed, 1))
	up.Start()
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Pause: 2 * time.Millisecond})
	for range kills {
		underLoad(t, ledger, 20)
		pause(r)
		up.Kill()
		up.Start()
	}
	underLoad(t, ledger, 20)
	load.Stop()
	ledger.Check(t, sink, 90*time.Second)
	up.Terminate()
}

// TestKillUpWhileTheBackendIsDown: what a killed process had acknowledged and
// not exported is still there when it comes back, kill after kill.
func TestKillUpWhileTheBackendIsDown(t *testing.T) {
	quickRedelivery(t)
	sink := harness.NewSink(t)
	up := harness.NewUp(t, harness.Queue{Dir: t.TempDir(), Durability: "strict", MaxBytes: "2GiB"}, sink)
	ledger := harness.NewLedger(harness.Seed(t))
	r := rand.New(rand.NewPCG(ledger.Seed, 2))
	sink.Down()
	up.Start()
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Retry: true, Pause: 5 * time.Millisecond})
	for range 3 {
		underLoad(t, ledger, 20)
		pause(r)
		up.Kill()
		up.Start()
	}
	load.Stop()
	if got := sink.Arrived(); got.Items != 0 {
		t.Fatalf("the backend is down and %+v arrived", got)
	}
	sink.Up()
	ledger.Check(t, sink, 90*time.Second)
	up.Terminate()
}

// TestKillEachRole: gateway with the queue inside, exporter-worker apart; either
// is killed while the other goes on.
func TestKillEachRole(t *testing.T) {
	quickRedelivery(t)
	sink := harness.NewSink(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destination := harness.GRPCDestination(sink.GRPCAddr)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "strict", MaxBytes: "2GiB"}, destination)
	worker := harness.NewWorker(t, harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "strict", MaxBytes: "2GiB"}, destination)
	ledger := harness.NewLedger(harness.Seed(t))
	r := rand.New(rand.NewPCG(ledger.Seed, 3))
	gateway.Start()
	worker.Start()
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr, Pause: 2 * time.Millisecond})
	for i := range kills {
		underLoad(t, ledger, 20)
		pause(r)
		killed := gateway
		if i%2 == 1 {
			killed = worker
		}
		killed.Kill()
		pause(r)
		killed.Start()
	}
	underLoad(t, ledger, 20)
	load.Stop()
	ledger.Check(t, sink, 90*time.Second)
	worker.Terminate()
	gateway.Terminate()
}
