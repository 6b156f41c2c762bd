package integration

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/bench/peer"
	"github.com/penstock-otel/penstock/bench/syncs"
	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// benchCollectors builds the Collector that the benchmark compares with.
func benchCollectors(t *testing.T) []peer.Peer {
	t.Helper()
	if out, err := exec.Command("../scripts/bench-collector.sh").CombinedOutput(); err != nil {
		t.Fatalf("scripts/bench-collector.sh: %v\n%s", err, out)
	}
	peers, err := peer.Collectors(t.Context(), filepath.Join("..", peer.Binary))
	if err != nil {
		t.Fatal(err)
	}
	return peers
}

func place(t *testing.T, sink string) peer.Place {
	t.Helper()
	return peer.Place{Dir: t.TempDir(), GRPC: harness.FreeAddr(t), Health: harness.FreeAddr(t), Sink: sink}
}

// What the benchmark compares with does what Penstock does: every signal arrives
// whole, and it syncs, or does not, as its name says.
func TestPeersOfTheBenchmarkDeliver(t *testing.T) {
	const requests = 20
	for _, p := range benchCollectors(t)[:2] {
		t.Run(p.Name, func(t *testing.T) {
			sink := harness.NewSink(t)
			at := place(t, sink.GRPCAddr)
			c, err := p.Command(at)
			if err != nil {
				t.Fatal(err)
			}
			proc := harness.Start(t, p.Name, "env", append(c.Env, c.Argv...)...) // env becomes the program: one process
			proc.Ready(c.Ready, time.Minute)
			counter, err := syncs.Open(proc.PID())
			if err != nil {
				t.Fatal(err)
			}
			defer counter.Close()
			ledger := harness.NewLedger(harness.Seed(t))
			for _, sig := range otlp.Signals {
				for range requests {
					ledger.Send(t, at.GRPC, sig, 100)
				}
			}
			if again := ledger.Check(t, sink, time.Minute); again != 0 {
				t.Errorf("%d items arrived again", again)
			}
			n, err := counter.Read()
			if err != nil {
				t.Fatal(err)
			}
			stored := uint64(requests * len(otlp.Signals))
			// Without fsync the file is still synced each time that it grows.
			if fsync := p.Name == "collector-fsync"; fsync != (n.Durable() >= stored) {
				t.Errorf("%s synced %d times for %d requests", p.Name, n.Durable(), stored)
			}
			proc.Stop(time.Minute)
		})
	}
}

// The Collector knows every setting of every peer.
func TestPeersOfTheBenchmarkAreValid(t *testing.T) {
	for _, p := range benchCollectors(t) {
		c, err := p.Command(place(t, harness.FreeAddr(t)))
		if err != nil {
			t.Fatal(err)
		}
		args := append([]string{"validate"}, c.Argv[1:]...)
		if out, err := exec.Command(c.Argv[0], args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", p.Name, err, out, c.Config)
		}
	}
}
