package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
)

// childURL is the server of a writer that the test runs as a process of its own.
const childURL = "PENSTOCK_TEST_AUDIT_URL"

const eachWrites = 200

// child records until it is done, or killed.
func child() {
	q, err := jetstream.Open(context.Background(), jetstream.Config{URL: os.Getenv(childURL), Durability: jetstream.Process})
	if err != nil {
		panic(err)
	}
	l := New(Options{Config: DefaultConfig(), Process: "killed", Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))})
	l.Start(q)
	for i := range eachWrites {
		l.Record(Event{Action: fmt.Sprint("action ", i), Outcome: Done})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Stop(ctx); err != nil {
		panic(err)
	}
}

// TestManyWriters: three processes make one chain, one of which is killed while it
// writes. Those that live have each of their events in it once.
func TestManyWriters(t *testing.T) {
	s, q := serve(t)
	if err := topology.EnsureAudit(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	victim := exec.Command(os.Args[0], "-test.run=none")
	victim.Env = append(os.Environ(), childURL+"="+s.ClientURL())
	victim.Stderr = os.Stderr
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			r := newRig(t, fmt.Sprint("writer-", w))
			r.Start(open(t, jetstream.Config{URL: s.ClientURL(), Durability: jetstream.Process}))
			for i := range eachWrites {
				r.Record(Event{Action: fmt.Sprint("action ", i), Outcome: Done})
				if i%10 == 0 {
					time.Sleep(5 * time.Millisecond) // so that they meet
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := r.Stop(ctx); err != nil {
				t.Error(err)
			}
			if events, reasons := r.lines.unrecorded(t); len(events) > 0 {
				t.Errorf("%d events are in the log: %v", len(events), reasons)
			}
		})
	}
	killed := false
	for !killed {
		items, _, err := List(t.Context(), q, Filter{}, 0, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			killed = killed || i.Event.Process == "killed"
		}
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	wg.Wait()
	whole(t, q, -1)
	next := map[string]int{}
	for after := uint64(0); ; {
		items, last, err := List(t.Context(), q, Filter{}, after, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			p := i.Event.Process
			if want := fmt.Sprint("action ", next[p]); i.Event.Action != want {
				t.Fatalf("entry %d of %s is %s, want %s", i.N, p, i.Event.Action, want)
			}
			next[p]++
		}
		if after = last; len(items) == 0 {
			break
		}
	}
	if next["writer-0"] != eachWrites || next["writer-1"] != eachWrites || next["killed"] == 0 {
		t.Errorf("entries: %v", next)
	}
	t.Logf("the killed process had stored %d of %d", next["killed"], eachWrites)
}
