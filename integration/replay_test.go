package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// replayRate is in bytes before compression a second: slow enough to be killed
// and paused in.
const replayRate = 1 << 20

// amount and replayJob are what `penstock replay status -o json` says.
type amount struct{ Messages, Items, Bytes uint64 }

type replayJob struct {
	ID, Phase, Error, Why, Runner string
	Progress                      struct {
		Total, Done, Skipped, Dead, Damaged, Missing, Duplicates amount
	}
	Note []string
}

// TestReplay: a window of what was exported goes to another backend, while live
// traffic goes on. The window is exact at both ends, the runner is killed and
// the job paused for longer than the queue keeps exported data; all of the window
// arrives, marked, and what arrives twice is bounded and counted.
func TestReplay(t *testing.T) {
	quickRedelivery(t)
	t.Setenv("PENSTOCK_RETENTION_REPLAY_WINDOW", "40s")
	t.Setenv("PENSTOCK_RETENTION_EVERY", "1s")
	backend, other := harness.NewSink(t), harness.NewSink(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destination := harness.GRPCDestination(backend.GRPCAddr)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "process", MaxBytes: "2GiB"}, destination)
	q := harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "process", MaxBytes: "2GiB"}
	workers := []*harness.Role{harness.NewWorker(t, q, destination), harness.NewWorker(t, q, destination)}
	gateway.Start()
	for _, w := range workers {
		w.Start()
	}
	seed := harness.Seed(t)
	send := func(requests int) (*harness.Ledger, time.Time) {
		t.Helper()
		l := harness.NewLedger(seed)
		load := harness.StartLoad(t, l, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr, Pause: 5 * time.Millisecond})
		underLoad(t, l, requests)
		load.Stop()
		time.Sleep(20 * time.Millisecond) // so that a moment lies between what is sent before and after
		at := time.Now()
		time.Sleep(20 * time.Millisecond)
		return l, at
	}
	time.Sleep(7 * time.Second) // each worker has told of itself more than once
	before, from := send(100)
	window, to := send(300)
	after, _ := send(100)

	bounds := []string{"--from", from.UTC().Format(time.RFC3339Nano), "--to", to.UTC().Format(time.RFC3339Nano)}
	flags := append(bounds, "--endpoint", other.GRPCAddr, "--insecure", "--rate", fmt.Sprintf("%dKiB", replayRate>>10))
	var plan struct {
		Match   struct{ Messages, Items uint64 }
		Partial bool
		Notes   []string
	}
	gateway.Read(&plan, append([]string{"replay", "plan"}, flags...)...)
	items := window.Counts().AckedItems
	if plan.Match.Items != items || plan.Partial {
		t.Fatalf("seed %d: the plan has %d items, partial is %v, and the window has %d", seed, plan.Match.Items, plan.Partial, items)
	}
	var job replayJob
	gateway.Read(&job, append([]string{"replay", "start", "--id", "window", "--detach"}, flags...)...)
	live := harness.NewLedger(seed)
	load := harness.StartLoad(t, live, harness.LoadConfig{GRPC: gateway.GRPCAddr, HTTP: gateway.HTTPAddr, Pause: 50 * time.Millisecond})
	arrived := func(part float64) {
		t.Helper()
		want := uint64(part * float64(items))
		harness.Until(t, 90*time.Second, func() string {
			gateway.Read(&job, "replay", "status", "window")
			return fmt.Sprintf("%d of %d items at the other backend: %+v, job %+v", want, items, other.Arrived(), job)
		}, func() bool { return other.Arrived().Distinct >= want })
	}

	// Whoever runs it is killed.
	arrived(0.1)
	for _, w := range workers { // one of them runs it
		w.Kill()
		w.Start()
	}
	arrived(0.4)

	// Paused for longer than exported data is kept.
	gateway.Read(&job, "replay", "pause", "window")
	harness.Until(t, 30*time.Second, func() string { return fmt.Sprintf("the job is paused: %+v", job) }, func() bool {
		gateway.Read(&job, "replay", "status", "window")
		return job.Phase == "paused"
	})
	there := other.Arrived()
	harness.Until(t, 90*time.Second, func() string { return "time passes" }, func() bool { return time.Since(to) > 46*time.Second })
	if now := other.Arrived(); now != there {
		t.Errorf("the job is paused, and %d items went on to arrive", now.Items-there.Items)
	}
	gateway.Read(&job, "replay", "resume", "window")
	arrived(1)
	harness.Until(t, 60*time.Second, func() string { return fmt.Sprintf("the job is done: %+v", job) }, func() bool {
		gateway.Read(&job, "replay", "status", "window")
		return job.Phase == "done"
	})
	load.Stop()

	got, p := other.Arrived(), job.Progress
	t.Logf("seed %d: %d items, %d of them again by the kills; job says %+v", seed, got.Distinct, got.Duplicates, p)
	if again := window.Check(t, other, time.Second); again > 3*items/10 {
		t.Errorf("seed %d: %d of %d items arrived twice", seed, again, items)
	}
	if p.Done.Items != items+p.Duplicates.Items && p.Done.Items != items || p.Missing.Messages+p.Damaged.Messages+p.Dead.Messages > 0 {
		t.Errorf("seed %d: of %d items the job says %+v, notes %q", seed, items, p, job.Note)
	}
	if got.Duplicates > p.Duplicates.Items {
		t.Errorf("seed %d: %d items arrived twice, and the job knows of %d", seed, got.Duplicates, p.Duplicates.Items)
	}
	if marked := other.Replayed()["window"]; marked != got.Items {
		t.Errorf("%d of %d items came with the mark of the replay", marked, got.Items)
	}
	if marks := backend.Replayed(); len(marks) > 0 {
		t.Errorf("live data carry the mark of a replay: %v", marks)
	}

	// The live traffic was not disturbed: all of it arrived.
	accepted := uint64(0)
	for _, l := range []*harness.Ledger{before, window, after, live} {
		items, where := l.Missing(backend)
		harness.Until(t, 30*time.Second, func() string { return fmt.Sprintf("live data arrive: %d items are missing: %q", items, where) }, func() bool {
			items, where = l.Missing(backend)
			return items == 0
		})
		accepted += l.Counts().AckedItems
	}
	gateway.Ledger("backend", accepted, 90*time.Second)

	// What was purged once nothing held it is said, and a job can be given up.
	harness.Until(t, 60*time.Second, func() string { return fmt.Sprintf("the window is purged, and the plan says so: %+v", plan) }, func() bool {
		gateway.Read(&plan, append([]string{"replay", "plan"}, flags...)...)
		return plan.Partial && len(plan.Notes) > 0 && plan.Match.Items < items
	})
	ledger := harness.NewLedger(seed)
	for range 5 {
		ledger.Send(t, gateway.GRPCAddr, otlp.Traces, 20_000)
	}
	gateway.Read(&job, "replay", "start", "--id", "given-up", "--detach", "--from", "-20s", "--endpoint", other.GRPCAddr, "--insecure", "--rate", "64KiB")
	gateway.Read(&job, "replay", "cancel", "given-up")
	harness.Until(t, 30*time.Second, func() string { return fmt.Sprintf("the job is cancelled: %+v", job) }, func() bool {
		gateway.Read(&job, "replay", "status", "given-up")
		return job.Phase == "cancelled"
	})
	assertBounded(t, append(workers, gateway)...)
	for _, w := range workers {
		w.Terminate()
	}
	gateway.Terminate()
}
