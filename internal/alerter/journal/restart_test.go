package journal

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestOverARestart: the server goes and comes back while two write. What was asked for
// meanwhile is there once, in one order, and nobody had to be told.
func TestOverARestart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 1 << 30, Listen: address}
	s, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	connect := func() Queue {
		return open(t, jetstream.Config{URL: "nats://" + address, Durability: jetstream.Process, AllowUnverified: true})
	}
	a, b := newReplica(t, connect()).follow(), newReplica(t, connect()).follow()
	a.fires("A", 3, "")
	const each = 40
	var wg sync.WaitGroup
	for n, r := range []*replica{a, b} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			for m := range each {
				what := fmt.Sprintf("%d %d", n, m)
				for {
					_, err := alerts.Do(ctx, r, r.state, func() ([]alerts.Event, error) {
						for _, e := range r.entries() { // the outcome may have been unknown
							if len(e.Events) == 1 && e.Events[0].Reason == what {
								return nil, nil
							}
						}
						return []alerts.Event{{Kind: "x", Reason: what}}, nil
					})
					if err == nil {
						break
					}
					if ctx.Err() != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	b.reaches(20)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	s, err = embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	a.reaches(1 + 2*each)
	b.reaches(1 + 2*each)
	same(t, a, b)
	seen := map[string]int{}
	for _, e := range a.entries() {
		for _, x := range e.Events {
			if x.Kind == "x" {
				seen[x.Reason]++
			}
		}
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%q is there %d times", what, n)
		}
	}
	if len(seen) != 2*each {
		t.Errorf("%d of %d", len(seen), 2*each)
	}
	a.counts(map[string]float64{"anew": 0, "gaps": 0, "unreadable": 0})
	a.fires("B", 1, "")
}
