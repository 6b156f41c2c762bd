package redis_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/redis"
	"github.com/penstock-otel/penstock/pkg/alerts/redis/redistest"
)

// Three replicas, each with its own connections, and 500 groups that fire and end:
// each is sent once.
func TestReplicas(t *testing.T) {
	srv := redistest.Start(t)
	firing := want
	ended := alerts.Want{Resolved: want.Firing, Repeat: want.Repeat, SendResolved: true}
	for _, w := range []alerts.Want{firing, ended} {
		var sent atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			s := open(t, redis.Options{Addrs: addrs(srv)})
			for part := range 2 { // of a replica, too, several ask at once
				wg.Go(func() {
					for n := range 500 {
						k := alerts.ClaimKey{Group: fmt.Sprint((n + 250*part) % 500), Receiver: "r"}
						a, err := s.Claim(t.Context(), k, w, time.Hour)
						if err == nil && a.Verdict == alerts.Go {
							sent.Add(1)
							err = s.Commit(t.Context(), k, a.Token, alerts.Sent{Firing: w.Firing, Resolved: w.Resolved})
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		if n := sent.Load(); n != 500 {
			t.Errorf("%d are sent, want 500", n)
		}
	}
}

// What the server loses is given again, to one; whoever claimed before records
// nothing in place of who has now, and timers can be set again.
func TestWiped(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, redis.Options{Addrs: addrs(srv)})
	before := claim(t, s, key)
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x", Generation: 9}))
	for what, wipe := range map[string]func(){
		"flushed": func() { srv.Do("flushall") }, "without its scripts": func() { srv.Do("script", "flush"); srv.Do("flushall") }, "killed": srv.Restart,
	} {
		wipe()
		a := claim(t, s, key)
		if a.Verdict == alerts.Held && what == "killed" { // the first answer may have been lost
			t.Logf("%s: held", what)
		} else if a.Verdict != alerts.Go {
			t.Errorf("%s: %+v", what, a)
		}
		if again := claim(t, s, key); again.Verdict != alerts.Held {
			t.Errorf("%s, a second time: %+v", what, again)
		}
		if err := s.Commit(t.Context(), key, before.Token, alerts.Sent{Firing: want.Firing}); !errors.Is(err, alerts.ErrLost) {
			t.Errorf("%s, a claim of before: %v", what, err)
		}
		if list, err := s.Take(t.Context(), 10, time.Hour); err != nil || len(list) != 0 {
			t.Errorf("%s: %v, %v", what, list, err)
		}
		must(t, s.Arm(t.Context(), alerts.Timer{ID: "x", Generation: 9}))
		eventually(t, "a timer that is set again", func() bool {
			list, err := s.Take(t.Context(), 10, time.Hour)
			must(t, err)
			return len(list) == 1
		})
		before = a
	}
}

// A server that hangs is an error for everybody, and not a wait. What it does later of
// what it was asked harms nothing: the claim of a claimant that has gone ends.
func TestHangs(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, redis.Options{Addrs: addrs(srv)})
	must(t, s.Ready(t.Context()))
	srv.Pause()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.Claim(t.Context(), key, want, 200*time.Millisecond); err == nil {
				t.Error("a server that is stopped has answered")
			}
			if _, err := s.Take(t.Context(), 1, time.Hour); err == nil {
				t.Error("a server that is stopped gives timers")
			}
		})
	}
	wg.Wait()
	if _, err := s.MemoryPolicy(t.Context()); err == nil {
		t.Error("a server that is stopped tells its policy")
	}
	srv.Resume()
	eventually(t, "the group is given", func() bool { return claim(t, s, key).Verdict == alerts.Go })
	srv.Kill()
	if err := s.Ready(t.Context()); err == nil {
		t.Error("a server that is not there is ready")
	}
}

// The replica that takes over knows what was sent, when it had been told.
func TestSentinel(t *testing.T) {
	master := redistest.Start(t)
	redistest.Replica(t, master)
	s := open(t, redis.Options{Addrs: redistest.Sentinels(t, "alerts", master), SentinelMaster: "alerts"})
	a := claim(t, s, key)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: want.Firing}))
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x", Generation: 3}))
	other := alerts.ClaimKey{Group: "being sent"}
	sending := claim(t, s, other)
	eventually(t, "the replica has it all", func() bool { return master.Do("wait", "1", "1000") == "1" })
	master.Kill()
	if a := claim(t, s, key); a.Verdict != alerts.NotNeeded {
		t.Errorf("%+v", a)
	}
	if a := claim(t, s, other); a.Verdict != alerts.Held {
		t.Errorf("%+v", a)
	}
	must(t, s.Commit(t.Context(), other, sending.Token, alerts.Sent{Firing: want.Firing}))
	list, err := s.Take(t.Context(), 10, time.Hour)
	if err != nil || len(list) != 1 || list[0].Generation != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Scripts have their keys in one slot, and a node that is gone takes no more with it
// than is on it.
func TestCluster(t *testing.T) {
	nodes := redistest.Cluster(t, 3)
	o := redis.Options{Addrs: addrs(nodes...)}
	t.Run("suite", func(t *testing.T) { suite(t, redis.Options{Addrs: o.Addrs[:1], Cluster: true}) })
	s := open(t, o)
	if problem, err := s.MemoryPolicy(t.Context()); problem != "" || err != nil {
		t.Errorf("%q, %v", problem, err)
	}
	nodes[1].Do("config", "set", "maxmemory-policy", "allkeys-lru")
	if problem, err := s.MemoryPolicy(t.Context()); problem == "" || err != nil {
		t.Errorf("%q, %v", problem, err)
	}
	const timers = 90
	for n := range timers {
		must(t, s.Arm(t.Context(), alerts.Timer{ID: fmt.Sprint(n)}))
	}
	nodes[2].Kill()
	got := map[string]bool{}
	failed := false
	for range 5 {
		list, err := s.Take(t.Context(), timers, time.Hour)
		failed = failed || err != nil
		for _, x := range list {
			got[x.ID] = true
		}
	}
	if len(got) == 0 || len(got) == timers || !failed {
		t.Errorf("%d of %d timers are given, an error: %v", len(got), timers, failed)
	}
	given := 0
	for n := range 30 {
		if a, err := s.Claim(t.Context(), alerts.ClaimKey{Group: fmt.Sprint(n)}, want, time.Hour); err == nil && a.Verdict == alerts.Go {
			given++
		}
	}
	if given == 0 || given == 30 {
		t.Errorf("%d of 30 claims are given", given)
	}
	if _, err := s.NextDue(t.Context(), time.Hour); err != nil {
		t.Error(err)
	}
}
