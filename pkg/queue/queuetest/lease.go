package queuetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// leaseName is one for the test alone: queues may share a store.
func (s *suite) leaseName() string { return strings.ToLower(s.stream) }

func (s *suite) lease(holder string, ttl time.Duration) bool {
	s.t.Helper()
	held, err := s.q.Lease(s.ctx, s.leaseName(), holder, ttl)
	s.must(err)
	return held
}

func (s *suite) wantLease(holder string, ttl time.Duration, want bool) {
	s.t.Helper()
	if got := s.lease(holder, ttl); got != want {
		s.t.Fatalf("the lease is held by %s: %t, want %t", holder, got, want)
	}
}

// leaseContended lets many ask at once, for two leases.
func (s *suite) leaseContended() {
	for _, name := range []string{s.leaseName(), s.leaseName() + "-2"} {
		var winners atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				held, err := s.q.Lease(s.ctx, name, fmt.Sprint("holder-", i), time.Hour)
				if err != nil {
					s.t.Error(err)
				}
				if held {
					winners.Add(1)
				}
			})
		}
		wg.Wait()
		if n := winners.Load(); n != 1 {
			s.t.Fatalf("%d hold the lease %s, want 1", n, name)
		}
	}
}

func (s *suite) leaseExpires() {
	const ttl = 400 * time.Millisecond
	s.wantLease("a", ttl, true)
	last := time.Now()
	s.wantLease("b", ttl, false)
	for !s.lease("b", ttl) {
		s.pause(10 * time.Millisecond)
	}
	if waited := time.Since(last); waited < ttl*9/10 {
		s.t.Fatalf("taken over after %s, the ttl is %s", waited, ttl)
	}
	s.wantLease("a", time.Hour, false)
	s.wantLease("b", time.Hour, true)
	s.pause(2 * ttl) // what was asked for last counts
	s.wantLease("a", ttl, false)
}

func (s *suite) leaseRenewed() {
	const ttl = time.Second
	for range 20 {
		s.wantLease("a", ttl, true)
		s.wantLease("b", ttl, false)
		s.pause(ttl / 8)
	}
}

func (s *suite) leaseReleased() {
	s.must(s.q.Release(s.ctx, s.leaseName(), "a")) // of nobody
	s.wantLease("a", time.Hour, true)
	s.must(s.q.Release(s.ctx, s.leaseName(), "b")) // not the holder
	s.wantLease("b", time.Hour, false)
	s.must(s.q.Release(s.ctx, s.leaseName(), "a"))
	s.wantLease("b", time.Hour, true)
	s.wantLease("a", time.Hour, false)
	s.must(s.q.Release(s.ctx, s.leaseName(), "b"))
	s.wantLease("b", time.Hour, true) // the same again
}

func (s *suite) leaseArguments() {
	for _, c := range []struct {
		name, holder string
		ttl          time.Duration
	}{{"", "a", time.Second}, {"a.b", "a", time.Second}, {"a", "", time.Second}, {"a", "b c", time.Second}, {"a", "b", 0}, {"a", "b", -1},
		{"a", strings.Repeat("x", 129), time.Second}} {
		if held, err := s.q.Lease(s.ctx, c.name, c.holder, c.ttl); err == nil || held {
			s.t.Errorf("lease %q of %q for %s is accepted", c.name, c.holder, c.ttl)
		}
	}
	if s.q.Release(s.ctx, "a b", "c") == nil {
		s.t.Error("release of a bad name is accepted")
	}
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.q.Lease(ended, s.leaseName(), "a", time.Second)
	s.wantErr(err, queue.ErrUnavailable)
	s.wantErr(s.q.Release(ended, s.leaseName(), "a"), queue.ErrUnavailable)
	s.must(s.q.Close())
	_, err = s.q.Lease(s.ctx, s.leaseName(), "a", time.Second)
	s.wantErr(err, queue.ErrClosed)
	s.wantErr(s.q.Release(s.ctx, s.leaseName(), "a"), queue.ErrClosed)
}

func (s *suite) pause(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
		s.t.Fatal("out of time")
	}
}
