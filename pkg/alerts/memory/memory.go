// Package memory keeps claims and timers in this process: for one alerter without
// Redis, whose state is made again from the log when it starts. Its clock is that of
// the process.
package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Bounds.
const (
	// keepSent is for how long it is known what was sent, beyond twice the repeat
	// interval, since somebody asked.
	keepSent = 24 * time.Hour
	// sweepEvery is how often what is no longer needed is let go of.
	sweepEvery = time.Minute
)

// Store is a Store in memory. Safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	claims map[alerts.ClaimKey]*claim // mu
	timers map[timerKey]*timer        // mu
	leases uint64                     // mu; the last one given
	swept  time.Time                  // mu
}

var _ alerts.Store = (*Store)(nil)

type claim struct {
	token      uint64
	leaseUntil time.Time // zero: nobody has it
	retryAt    time.Time
	ended      end // how the last that ended did
	sent       alerts.Sent
	keep       time.Time // until when it is needed
}

// end of a claim: what was sent is known, or it was released.
type end struct {
	token  uint64
	commit bool
}

type timerKey struct{ tenant, id string }

type timer struct {
	generation uint64
	due        time.Time
	lease      uint64    // 0: not taken
	leaseUntil time.Time // of lease
}

// New makes an empty one.
func New() *Store {
	return &Store{claims: map[alerts.ClaimKey]*claim{}, timers: map[timerKey]*timer{}}
}

// Ready implements alerts.Store.
func (s *Store) Ready(ctx context.Context) error { return ctx.Err() }

// Close implements alerts.Store.
func (s *Store) Close() error { return nil }

// Claim implements alerts.Claims.
func (s *Store) Claim(ctx context.Context, k alerts.ClaimKey, want alerts.Want, lease time.Duration) (alerts.Answer, error) {
	if err := ctx.Err(); err != nil {
		return alerts.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.sweep(now)
	c := s.claims[k]
	if c == nil {
		c = &claim{}
	}
	c.keep = later(c.keep, now.Add(2*want.Repeat+lease+keepSent))
	switch held := later(c.leaseUntil, c.retryAt); {
	case !want.Needed(c.sent, now):
		return alerts.Answer{Verdict: alerts.NotNeeded, Last: c.sent.Clone()}, nil
	case held.After(now):
		return alerts.Answer{Verdict: alerts.Held, Wait: held.Sub(now), Last: c.sent.Clone()}, nil
	}
	c.token = max(c.token+1, uint64(now.UnixMilli())) // above those of a process before
	c.leaseUntil, c.retryAt = now.Add(max(lease, time.Millisecond)), time.Time{}
	s.claims[k] = c
	return alerts.Answer{Verdict: alerts.Go, Token: c.token, Last: c.sent.Clone()}, nil
}

// Commit implements alerts.Claims.
func (s *Store) Commit(ctx context.Context, k alerts.ClaimKey, token uint64, sent alerts.Sent) error {
	return s.finish(ctx, k, token, true, func(c *claim, now time.Time) {
		c.sent = sent.Clone()
		c.sent.At, c.sent.Token = now, token
	})
}

// Release implements alerts.Claims.
func (s *Store) Release(ctx context.Context, k alerts.ClaimKey, token uint64, retry time.Duration) error {
	return s.finish(ctx, k, token, false, func(c *claim, now time.Time) { c.retryAt = now.Add(retry) })
}

// finish does f with the claim whose last token this is, and ends it.
func (s *Store) finish(ctx context.Context, k alerts.ClaimKey, token uint64, commit bool, f func(*claim, time.Time)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[k]
	switch {
	case c == nil || c.token != token:
		return alerts.ErrLost
	case c.leaseUntil.IsZero() && c.ended == end{token, commit}: // a second time
		return nil
	case c.leaseUntil.IsZero():
		return alerts.ErrLost
	}
	f(c, time.Now())
	c.leaseUntil, c.ended = time.Time{}, end{token, commit}
	return nil
}

// Restore implements alerts.Claims.
func (s *Store) Restore(ctx context.Context, k alerts.ClaimKey, sent alerts.Sent) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[k]
	if c == nil {
		c = &claim{}
		s.claims[k] = c
	}
	if sent.At.After(c.sent.At) {
		c.sent = sent.Clone()
	}
	if c.leaseUntil.IsZero() { // else somebody is sending
		c.token = max(c.token, sent.Token)
	}
	c.keep = later(c.keep, time.Now().Add(keepSent))
	return nil
}

// Arm implements alerts.Timers.
func (s *Store) Arm(ctx context.Context, t alerts.Timer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := timerKey{t.Tenant, t.ID}
	if have := s.timers[k]; have != nil && have.generation > t.Generation {
		return nil
	}
	s.timers[k] = &timer{generation: t.Generation, due: time.Now().Add(t.After)}
	return nil
}

// Take implements alerts.Timers.
func (s *Store) Take(ctx context.Context, limit int, lease time.Duration) ([]alerts.Timer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var ready []timerKey
	for k, t := range s.timers {
		if !t.when().After(now) {
			ready = append(ready, k)
		}
	}
	slices.SortFunc(ready, func(a, b timerKey) int {
		return cmp.Or(s.timers[a].due.Compare(s.timers[b].due), cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.id, b.id))
	})
	var list []alerts.Timer
	for _, k := range ready[:min(max(limit, 0), len(ready))] {
		t := s.timers[k]
		s.leases++
		t.lease, t.leaseUntil = s.leases, now.Add(lease)
		list = append(list, alerts.Timer{Tenant: k.tenant, ID: k.id, Generation: t.generation, Lease: t.lease})
	}
	return list, nil
}

// when it can be taken.
func (t *timer) when() time.Time {
	if t.lease != 0 {
		return t.leaseUntil
	}
	return t.due
}

// Done implements alerts.Timers.
func (s *Store) Done(ctx context.Context, t alerts.Timer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := timerKey{t.Tenant, t.ID}
	if have := s.timers[k]; have != nil && have.lease == t.Lease && t.Lease != 0 {
		delete(s.timers, k)
	}
	return nil
}

// NextDue implements alerts.Timers.
func (s *Store) NextDue(ctx context.Context, most time.Duration) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, t := range s.timers {
		most = min(most, t.when().Sub(now))
	}
	return max(most, 0), nil
}

// sweep lets go of claims that nobody needs. mu is held.
func (s *Store) sweep(now time.Time) {
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for k, c := range s.claims {
		if now.After(c.keep) {
			delete(s.claims, k)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
