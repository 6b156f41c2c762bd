package integration

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// scaleInFlight is the bound of exports at a time of each worker below, and
// scaleGroup that of the items of one export.
const (
	scaleInFlight = 4
	scaleGroup    = 400
)

// TestWorkersScale: workers come and go under load, 1, 4, none and 2 of them, are
// restarted one after the other, and are killed with exports in flight. Nothing
// is lost, nothing comes twice by any of the orderly changes, and by the kills no
// more than was in flight.
func TestWorkersScale(t *testing.T) {
	quickRedelivery(t)
	sink := harness.NewSink(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destination := harness.Destinations(harness.Destination{Name: "backend", Protocol: "grpc", Endpoint: sink.GRPCAddr, More: "max_in_flight: 4, merge_messages: 1"})
	t.Setenv("PENSTOCK_GATEWAY_BATCH_MAX_ITEMS", "400")
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "process", MaxBytes: "4GiB"}, destination)
	gateway.Start()
	q := harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "process", MaxBytes: "4GiB"}
	var workers []*harness.Role
	scale := func(n int) {
		t.Helper()
		for len(workers) < n {
			w := harness.NewWorker(t, q, destination)
			w.Start()
			workers = append(workers, w)
		}
		for len(workers) > n {
			workers[0].Terminate()
			workers = workers[1:]
		}
	}
	arrives := func(more uint64) {
		t.Helper()
		from := sink.Arrived().Distinct
		harness.Until(t, 60*time.Second, func() string { return "items arrive" }, func() bool { return sink.Arrived().Distinct >= from+more })
	}
	scale(1)
	ledger := harness.NewLedger(harness.Seed(t))
	r := rand.New(rand.NewPCG(ledger.Seed, 5))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr, Pause: 2 * time.Millisecond})
	arrives(20_000)
	scale(4)
	arrives(20_000)
	scale(0)
	here := sink.Arrived()
	underLoad(t, ledger, 200) // with nobody to export it
	if now := sink.Arrived(); now != here {
		t.Errorf("no worker runs, and %d items arrived", now.Items-here.Items)
	}
	scale(2)
	arrives(20_000)
	for range 2 { // rolling restart
		workers[0].Terminate()
		workers[0].Start()
		workers[0], workers[1] = workers[1], workers[0]
		arrives(5_000)
	}
	orderly := sink.Arrived().Duplicates
	if orderly != 0 {
		t.Errorf("seed %d: %d items arrived twice although every worker stopped in order", ledger.Seed, orderly)
	}

	// A slow backend keeps every slot full, so that a kill hits exports in flight.
	sink.Behave(harness.Slow(50 * time.Millisecond))
	for i := range kills {
		arrives(2_000)
		pause(r)
		workers[i%2].Kill()
		workers[i%2].Start()
	}
	sink.Behave(harness.Accept)
	arrives(5_000)
	load.Stop()
	again := ledger.Check(t, sink, 90*time.Second) - orderly
	if bound := uint64(kills * scaleInFlight * scaleGroup); again > bound {
		t.Errorf("seed %d: %d items arrived twice by %d kills, want at most the %d that can have been in flight", ledger.Seed, again, kills, bound)
	}
	if again == 0 {
		t.Errorf("seed %d: %d kills with exports in flight, and nothing arrived twice: they hit nothing", ledger.Seed, kills)
	}
	redelivered := 0.0
	for _, w := range workers {
		redelivered += w.Scrape().Sum("penstock_exporter_redeliveries_total")
	}
	t.Logf("%d items arrived twice by %d kills; the workers that live counted %.0f redeliveries", again, kills, redelivered)
	if redelivered == 0 {
		t.Error("no redelivery was counted")
	}
	assertBounded(t, append(workers, gateway)...)
	scale(0)
	gateway.Terminate()
}
