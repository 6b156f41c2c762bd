package journal

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
)

// childURL is the server of a writer that the test runs as a process of its own.
const childURL = "PENSTOCK_TEST_ALERTS_URL"

// write appends n entries that count: each is numbered by what its writer has seen.
func write(ctx context.Context, q Queue, who string, n int) error {
	s := alerts.NewState()
	j := New(q, Options{Config: alerting.DefaultHistory(), State: s, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	end, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { failed = j.Follow(end, 0, func(e alerts.Entry) error { s.Apply(e); return nil }) })
	defer func() { stop(); wg.Wait() }()
	for i := range n {
		_, err := alerts.Do(ctx, j, s, func() ([]alerts.Event, error) {
			return []alerts.Event{{Kind: "x", Actor: who, Reason: fmt.Sprintf("%d %d", s.Counts().Unknown, i)}}, nil
		})
		if err != nil {
			return err
		}
	}
	stop()
	wg.Wait()
	return failed
}

const eachWrites = 100

// child writes until it is done, or killed.
func child() {
	ctx := context.Background()
	q, err := jetstream.Open(ctx, jetstream.Config{URL: os.Getenv(childURL), Durability: jetstream.Process})
	if err == nil {
		err = write(ctx, q, "killed", 100*eachWrites)
	}
	if err != nil {
		panic(err)
	}
}

// TestManyWriters: three processes write one log, one of which is killed while it does.
// Each entry has a number that says that its writer had seen all before it, and those
// that live have each of theirs once.
func TestManyWriters(t *testing.T) {
	s, q := serve(t)
	r := newReplica(t, q).follow()
	victim := exec.Command(os.Args[0], "-test.run=none")
	victim.Env = append(os.Environ(), childURL+"="+s.ClientURL())
	victim.Stderr = os.Stderr
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for w := range 2 {
		q := open(t, jetstream.Config{URL: s.ClientURL(), Durability: jetstream.Process})
		wg.Go(func() {
			if err := write(ctx, q, fmt.Sprint("writer-", w), eachWrites); err != nil {
				t.Error(err)
			}
		})
	}
	r.until("entries of the one that is killed", func() bool {
		n := 0
		for _, e := range r.entries() {
			if len(e.Events) > 0 && e.Events[0].Actor == "killed" {
				n++
			}
		}
		return n >= 20
	})
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	wg.Wait()
	r.reaches(streamState(t, q).LastSeq)
	next, n := map[string]int{}, 0
	for _, e := range r.entries() {
		if len(e.Events) == 0 {
			continue
		}
		who := e.Events[0].Actor
		seen, own, _ := strings.Cut(e.Events[0].Reason, " ")
		if seen != fmt.Sprint(n) || own != fmt.Sprint(next[who]) {
			t.Fatalf("entry %d of %s is %q, want %d %d", e.At, who, e.Events[0].Reason, n, next[who])
		}
		n++
		next[who]++
	}
	if next["writer-0"] != eachWrites || next["writer-1"] != eachWrites || next["killed"] == 0 {
		t.Errorf("entries: %v", next)
	}
	t.Logf("the killed process had stored %d", next["killed"])
}
