package deliver_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/redis"
	"github.com/penstock-otel/penstock/pkg/alerts/redis/redistest"
)

// replicas are three with connections of their own to a Redis.
func (w *world) replicas(o redis.Options) (look func(groups []string)) {
	var all []*replica
	for i := range 3 {
		store, err := redis.Open(o)
		if err != nil {
			w.t.Fatal(err)
		}
		r := w.start(store, i)
		all = append(all, r)
		w.t.Cleanup(func() {
			r.end()
			if err := store.Close(); err != nil {
				w.t.Error(err)
			}
		})
	}
	return func(groups []string) {
		for _, i := range rand.Perm(len(groups)) {
			for _, r := range all {
				r.Look(key(groups[i]))
			}
		}
	}
}

// until waits for so many notifications, and a moment for one too many.
func (w *world) until(n int) {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); w.sent() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%d notifications, want %d", w.sent(), n)
		}
	}
}

// Three replicas over a real Redis: 500 groups that fire and resolve are exactly
// 1,000 notifications.
func TestRedisEachIsToldOnce(t *testing.T) {
	w := newWorld(t)
	look := w.replicas(redis.Options{Addrs: []string{redistest.Start(t).Addr}})
	all := names(500)
	for _, g := range all {
		w.fires(g, "warning")
	}
	look(all)
	w.until(500)
	look(all)
	for _, g := range all {
		w.resolves(g)
	}
	look(all)
	w.until(1000)
	look(all)
	w.settled()
	w.once(all, 0)
}

// untilTold waits until all of the groups were told, of the beginning or of the end. A
// claim whose answer was lost on the wire is a lease that nobody uses.
func (w *world) untilTold(groups []string, ended bool) {
	w.t.Helper()
	told := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		done := map[string]bool{}
		for _, n := range w.took {
			if ended != n.Alerts[0].ResolvedAt.IsZero() {
				done[n.Group] = true
			}
		}
		return len(done)
	}
	for end := time.Now().Add(2 * time.Minute); told() < len(groups); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%d groups were told, ended %t, want %d", told(), ended, len(groups))
		}
	}
}

// settled waits until nobody sends any more: each group was looked at since.
func (w *world) settled() {
	w.t.Helper()
	for n := -1; n != w.sent(); time.Sleep(2 * time.Second) {
		n = w.sent()
	}
}

// A Redis that is wiped, hangs, dies and comes back empty, in the middle of sending:
// nothing is lost, and each outage costs at most one more of each group and replica.
func TestRedisFaults(t *testing.T) {
	for name, fault := range map[string]func(*redistest.Server) (heal func()){
		"wiped":  func(s *redistest.Server) func() { s.Do("FLUSHALL"); return func() {} },
		"hangs":  func(s *redistest.Server) func() { s.Pause(); return s.Resume },
		"killed": func(s *redistest.Server) func() { s.Kill(); return s.Restart },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			w := newWorld(t)
			w.answers(func(context.Context, alerts.Notification) error {
				time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
				return nil
			})
			look := w.replicas(redis.Options{Addrs: []string{server.Addr}})
			all := names(200)
			for i, g := range all {
				w.fires(g, []alerts.Severity{"critical", "warning"}[i%2])
			}
			look(all)
			w.until(50)
			heal := fault(server)
			w.until(100)
			heal()
			look(all)
			w.untilTold(all, false)
			w.settled()
			for _, g := range all {
				w.resolves(g)
			}
			look(all)
			w.until(w.sent() + 50)
			heal = fault(server)
			w.until(w.sent() + 20)
			heal()
			look(all)
			w.untilTold(all, true)
			w.settled()
			w.once(all, 2*3*len(all))
			t.Logf("%d notifications, 400 without a fault", w.sent())
		})
	}
}
