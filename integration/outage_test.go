package integration

import (
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// maxRSS of every role, whatever is down: I5.
const maxRSS = 300 << 20

// quickRedelivery shortens the time after which what a killed worker held is
// given to another: it is a minute by default.
func quickRedelivery(t *testing.T) { t.Setenv("PENSTOCK_WORKER_ACK_WAIT", "3s") }

func assertBounded(t *testing.T, roles ...*harness.Role) {
	t.Helper()
	for _, r := range roles {
		if u := r.Usage(); u.PeakRSS > maxRSS {
			t.Errorf("%s had %d MiB resident, want at most %d", r.Name, u.PeakRSS>>20, maxRSS>>20)
		}
	}
}

// TestNATSServerOutage: the external queue goes away under load, in order and by
// kill -9, and comes back.
func TestNATSServerOutage(t *testing.T) {
	quickRedelivery(t)
	sink := harness.NewSink(t)
	nats := harness.NewNATS(t)
	nats.Start()
	q := harness.Queue{URL: nats.URL, MonitorURL: nats.MonitorURL, Durability: "strict", MaxBytes: "2GiB"}
	destination := harness.GRPCDestination(sink.GRPCAddr)
	gateway, worker := harness.NewGateway(t, q, destination), harness.NewWorker(t, q, destination)
	gateway.Start()
	worker.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr, Retry: true, Pause: 2 * time.Millisecond})
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		underLoad(t, ledger, 100)
		nats.Signal(end)
		nats.Wait(30 * time.Second)
		failed := tries(ledger)
		harness.Until(t, 60*time.Second, func() string { return "the clients do not notice that the queue is gone" }, func() bool { return tries(ledger) > failed })
		nats.Start()
	}
	underLoad(t, ledger, 100)
	load.Stop()
	ledger.Check(t, sink, 60*time.Second)
	assertBounded(t, gateway, worker)
	worker.Terminate()
	gateway.Terminate()
}

// tries that failed so far.
func tries(l *harness.Ledger) (n int) {
	for _, c := range l.Counts().Errors {
		n += c
	}
	return n
}

// TestBackendOutage: the backend is down for half a minute under load. The
// gateway goes on taking, memory stays bounded, a worker is killed and another
// takes its place, and everything arrives in the end.
func TestBackendOutage(t *testing.T) {
	quickRedelivery(t)
	sink := harness.NewSink(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destination := harness.GRPCDestination(sink.GRPCAddr)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "strict", MaxBytes: "2GiB"}, destination)
	q := harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "strict", MaxBytes: "2GiB"}
	worker := harness.NewWorker(t, q, destination)
	gateway.Start()
	worker.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr, Pause: 20 * time.Millisecond})
	underLoad(t, ledger, 100)
	sink.Down()
	before := ledger.Counts()
	time.Sleep(15 * time.Second) // half of the outage
	assertBounded(t, gateway, worker)
	worker.Kill()
	worker = harness.NewWorker(t, q, destination)
	worker.Start()
	time.Sleep(15 * time.Second)
	during := ledger.Counts()
	sink.Up()
	underLoad(t, ledger, 100)
	load.Stop()
	if refused := tries(ledger); refused != 0 || during.Acked < before.Acked+500 {
		t.Errorf("%d requests failed and %d were taken while the backend was down: the queue had room", refused, during.Acked-before.Acked)
	}
	ledger.Check(t, sink, 60*time.Second)
	assertBounded(t, gateway, worker)
	worker.Terminate()
	gateway.Terminate()
}

// TestBackendMisbehaves: a backend that hangs, refuses for a while, or is behind
// a network that is cut and slow, costs nothing but time.
func TestBackendMisbehaves(t *testing.T) {
	quickRedelivery(t)
	t.Setenv("PENSTOCK_WORKER_DRAIN_TIMEOUT", "5s")
	sink := harness.NewSink(t)
	proxy := harness.NewProxy(t, sink.GRPCAddr)
	q := harness.Queue{Dir: t.TempDir(), Durability: "strict", MaxBytes: "2GiB"}
	up := harness.NewUpTo(t, q, harness.GRPCDestination(proxy.Addr))
	up.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Pause: 10 * time.Millisecond})
	for _, trouble := range []struct{ begin, end func() }{
		{func() { sink.Behave(harness.Answer(codes.Unavailable)) }, func() { sink.Behave(harness.Accept) }},
		{func() { sink.Behave(harness.Hang) }, func() { sink.Behave(harness.Accept) }},
		{proxy.Cut, proxy.Mend},
		{func() { proxy.Slow(256 << 10) }, func() { proxy.Slow(0) }},
	} {
		underLoad(t, ledger, 50)
		trouble.begin()
		underLoad(t, ledger, 100) // the gateway goes on taking
		trouble.end()
	}
	underLoad(t, ledger, 50)
	load.Stop()
	ledger.Check(t, sink, 60*time.Second)
	assertBounded(t, up)
	up.Terminate()
}

// TestOverHTTPToTheBackend: the exporter's other protocol, through one outage.
func TestOverHTTPToTheBackend(t *testing.T) {
	quickRedelivery(t)
	sink := harness.NewSink(t)
	up := harness.NewUpTo(t, harness.Queue{Dir: t.TempDir(), Durability: "strict", MaxBytes: "2GiB"}, harness.HTTPDestination(sink.HTTPAddr))
	up.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Signals: otlp.Signals[:], Pause: 5 * time.Millisecond})
	underLoad(t, ledger, 50)
	sink.Down()
	underLoad(t, ledger, 100)
	sink.Up()
	underLoad(t, ledger, 50)
	load.Stop()
	ledger.Check(t, sink, 60*time.Second)
	up.Terminate()
}
