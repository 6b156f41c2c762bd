// Package alertstest holds every Store to the contract of package alerts. Times are
// those of the store, real or simulated: what has to pass is waited for, never
// measured.
package alertstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Run runs the suite; open makes an empty store, which it closes itself at the end
// of the test.
func Run(t *testing.T, open func(t *testing.T) alerts.Store) {
	for name, f := range map[string]func(*testing.T, alerts.Store){
		"a claim is given once":             claimOnce,
		"sent is not needed":                sentIsNotNeeded,
		"a failure is tried again":          release,
		"a lease ends":                      leaseEnds,
		"an old token records nothing":      oldToken,
		"keys are apart":                    keysApart,
		"restore":                           restore,
		"repeat and resolved":               repeat,
		"of many claimants one":             manyClaimants,
		"timers come when they are due":     timersDue,
		"a timer that is not done returns":  timerReturns,
		"generations":                       generations,
		"of many takers one gets a timer":   manyTakers,
		"contexts that ended are an error":  endedContexts,
		"timers of tenants are apart":       timersApart,
		"what was done does not come again": doneAgain,
		"an end that is said twice":         endTwice,
		"what is handed in is not kept":     notKept,
		"many alerts in a group":            manyAlerts,
		"any want after anything sent":      anyWant,
		"a restore while somebody sends":    restoreWhileHeld,
		"of no timers none":                 limits,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			if err := s.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			f(t, s)
		})
	}
}

const long = time.Hour

var key = alerts.ClaimKey{Tenant: "blue", Group: "g", Receiver: "ops/webhook/0"}

func want(firing ...alerts.Key) alerts.Want {
	slices.Sort(firing)
	return alerts.Want{Firing: firing, Repeat: long, SendResolved: true}
}

func claim(t *testing.T, s alerts.Store, k alerts.ClaimKey, w alerts.Want, lease time.Duration, verdict alerts.Verdict) alerts.Answer {
	t.Helper()
	a, err := s.Claim(t.Context(), k, w, lease)
	if err != nil {
		t.Fatal(err)
	}
	if a.Verdict != verdict {
		t.Fatalf("verdict %d, want %d: %+v", a.Verdict, verdict, a)
	}
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what the store's clock brings.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 4000 {
		if f() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func claimOnce(t *testing.T, s alerts.Store) {
	a := claim(t, s, key, want("a"), long, alerts.Go)
	held := claim(t, s, key, want("a"), long, alerts.Held)
	if a.Token == 0 || held.Wait <= 0 || held.Wait > long {
		t.Errorf("token %d, wait %s", a.Token, held.Wait)
	}
}

func sentIsNotNeeded(t *testing.T, s alerts.Store) {
	claim(t, s, key, want(), long, alerts.NotNeeded)
	a := claim(t, s, key, want("a", "b"), long, alerts.Go)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: []alerts.Key{"a", "b"}, Data: []byte(`{"x":"y"}`)}))
	n := claim(t, s, key, want("a", "b"), long, alerts.NotNeeded)
	if !slices.Equal(n.Last.Firing, []alerts.Key{"a", "b"}) || string(n.Last.Data) != `{"x":"y"}` || n.Last.At.IsZero() || n.Last.Token != a.Token {
		t.Errorf("last %+v", n.Last)
	}
	claim(t, s, key, want("b"), long, alerts.NotNeeded)
	if next := claim(t, s, key, want("b", "c"), long, alerts.Go); next.Token <= a.Token {
		t.Errorf("token %d after %d", next.Token, a.Token)
	}
}

func release(t *testing.T, s alerts.Store) {
	a := claim(t, s, key, want("a"), long, alerts.Go)
	must(t, s.Release(t.Context(), key, a.Token, 0))
	a = claim(t, s, key, want("a"), long, alerts.Go)
	must(t, s.Release(t.Context(), key, a.Token, long))
	if held := claim(t, s, key, want("a"), long, alerts.Held); held.Wait <= long/2 {
		t.Errorf("wait %s", held.Wait)
	}
	if err := s.Commit(t.Context(), key, a.Token, alerts.Sent{}); !errors.Is(err, alerts.ErrLost) {
		t.Errorf("a commit after the release: %v", err)
	}
}

func leaseEnds(t *testing.T, s alerts.Store) {
	old := claim(t, s, key, want("a"), 20*time.Millisecond, alerts.Go)
	eventually(t, "the lease ends", func() bool {
		a, err := s.Claim(t.Context(), key, want("a"), long)
		must(t, err)
		return a.Verdict == alerts.Go && a.Token > old.Token
	})
}

func oldToken(t *testing.T, s alerts.Store) {
	old := claim(t, s, key, want("a"), time.Millisecond, alerts.Go)
	var now alerts.Answer
	eventually(t, "another has it", func() bool {
		var err error
		now, err = s.Claim(t.Context(), key, want("a"), long)
		must(t, err)
		return now.Verdict == alerts.Go
	})
	if err := s.Commit(t.Context(), key, old.Token, alerts.Sent{Firing: []alerts.Key{"a"}}); !errors.Is(err, alerts.ErrLost) {
		t.Errorf("commit: %v", err)
	}
	if err := s.Release(t.Context(), key, old.Token, 0); !errors.Is(err, alerts.ErrLost) {
		t.Errorf("release: %v", err)
	}
	claim(t, s, key, want("a"), long, alerts.Held)
	must(t, s.Commit(t.Context(), key, now.Token, alerts.Sent{Firing: []alerts.Key{"a"}}))
	if err := s.Commit(t.Context(), alerts.ClaimKey{Group: "none"}, 1, alerts.Sent{}); !errors.Is(err, alerts.ErrLost) {
		t.Errorf("of a key that was never claimed: %v", err)
	}
}

func keysApart(t *testing.T, s alerts.Store) {
	for _, k := range []alerts.ClaimKey{key, {Tenant: "red", Group: "g", Receiver: key.Receiver}, {Tenant: "blue", Group: "h", Receiver: key.Receiver},
		{Tenant: "blue", Group: "g", Receiver: "ops/webhook/1"}, {Group: "blueg", Receiver: key.Receiver}} {
		claim(t, s, k, want("a"), long, alerts.Go)
	}
}

func restore(t *testing.T, s alerts.Store) {
	at := time.Now().Add(-time.Minute)
	must(t, s.Restore(t.Context(), key, alerts.Sent{Firing: []alerts.Key{"a"}, At: at, Token: 7}))
	if n := claim(t, s, key, want("a"), long, alerts.NotNeeded); !n.Last.At.Equal(at) && n.Last.At.Sub(at).Abs() > time.Millisecond {
		t.Errorf("sent at %s, want %s", n.Last.At, at)
	}
	must(t, s.Restore(t.Context(), key, alerts.Sent{Firing: []alerts.Key{"old"}, At: at.Add(-time.Hour), Token: 3}))
	claim(t, s, key, want("a"), long, alerts.NotNeeded)
	if a := claim(t, s, key, want("b"), long, alerts.Go); a.Token <= 7 {
		t.Errorf("token %d after one of 7", a.Token)
	}
}

func repeat(t *testing.T, s alerts.Store) {
	w := want("a")
	w.Repeat = 20 * time.Millisecond
	a := claim(t, s, key, w, long, alerts.Go)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: w.Firing}))
	eventually(t, "it is told again", func() bool {
		a, _ = s.Claim(t.Context(), key, w, long)
		return a.Verdict == alerts.Go
	})
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: w.Firing}))
	end := alerts.Want{Resolved: w.Firing, Repeat: long, SendResolved: true}
	a = claim(t, s, key, end, long, alerts.Go)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Resolved: w.Firing}))
	claim(t, s, key, end, long, alerts.NotNeeded)
	end.Always = true
	claim(t, s, key, end, long, alerts.Go)
}

func manyClaimants(t *testing.T, s alerts.Store) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	for range 8 {
		wg.Go(func() {
			for g := range 20 {
				k := alerts.ClaimKey{Group: fmt.Sprint(g), Receiver: "r"}
				a, err := s.Claim(t.Context(), k, want("a"), long)
				if err != nil {
					t.Error(err)
					return
				}
				if a.Verdict == alerts.Go {
					mu.Lock()
					got[k.Group]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for g, n := range got {
		if n != 1 {
			t.Errorf("group %s was given to %d", g, n)
		}
	}
	if len(got) != 20 {
		t.Errorf("%d groups were given", len(got))
	}
}

func take(t *testing.T, s alerts.Store, limit int, lease time.Duration) (ids []string, list []alerts.Timer) {
	t.Helper()
	list, err := s.Take(t.Context(), limit, lease)
	must(t, err)
	for _, x := range list {
		ids = append(ids, x.ID)
	}
	return ids, list
}

func timersDue(t *testing.T, s alerts.Store) {
	for id, after := range map[string]time.Duration{"far": long, "second": 2 * time.Millisecond, "first": 0} {
		must(t, s.Arm(t.Context(), alerts.Timer{ID: id, Generation: 4, After: after}))
	}
	eventually(t, "two are due", func() bool {
		d, err := s.NextDue(t.Context(), long)
		must(t, err)
		return d == 0
	})
	var ids []string
	eventually(t, "they are given", func() bool {
		more, list := take(t, s, 1, long)
		ids = append(ids, more...)
		for _, x := range list {
			if x.Generation != 4 || x.Lease == 0 {
				t.Errorf("%+v", x)
			}
		}
		return len(ids) == 2
	})
	slices.Sort(ids) // the store may have them in two parts
	if !slices.Equal(ids, []string{"first", "second"}) {
		t.Errorf("given %v", ids)
	}
	if d, err := s.NextDue(t.Context(), time.Minute); err != nil || d != time.Minute {
		t.Errorf("next due in %s, %v", d, err)
	}
}

func timerReturns(t *testing.T, s alerts.Store) {
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x"}))
	var first, second []alerts.Timer
	eventually(t, "it is given", func() bool { _, first = take(t, s, 10, 10*time.Millisecond); return len(first) == 1 })
	eventually(t, "it is given again", func() bool { _, second = take(t, s, 10, long); return len(second) == 1 })
	must(t, s.Done(t.Context(), first[0])) // too late: it is another's
	if d, err := s.NextDue(t.Context(), 2*long); err != nil || d > long {
		t.Errorf("it is gone: next due in %s, %v", d, err)
	}
	must(t, s.Done(t.Context(), second[0]))
	if d, err := s.NextDue(t.Context(), 2*long); err != nil || d != 2*long {
		t.Errorf("it is not gone: next due in %s, %v", d, err)
	}
}

func generations(t *testing.T, s alerts.Store) {
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x", Generation: 5, After: long}))
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x", Generation: 4}))
	if ids, _ := take(t, s, 10, long); len(ids) != 0 {
		t.Error("an older generation has set the timer")
	}
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x", Generation: 5}))
	var list []alerts.Timer
	eventually(t, "it is given", func() bool { _, list = take(t, s, 10, long); return len(list) == 1 })
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x", Generation: 6, After: long})) // while it is worked on
	must(t, s.Done(t.Context(), list[0]))
	if d, err := s.NextDue(t.Context(), 2*long); err != nil || d > long {
		t.Errorf("what was set anew is gone: next due in %s, %v", d, err)
	}
}

func manyTakers(t *testing.T, s alerts.Store) {
	for n := range 50 {
		must(t, s.Arm(t.Context(), alerts.Timer{ID: fmt.Sprint(n)}))
	}
	var mu sync.Mutex
	got := map[string]int{}
	eventually(t, "all are given", func() bool {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				list, err := s.Take(t.Context(), 7, long)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, x := range list {
					got[x.ID]++
				}
			})
		}
		wg.Wait()
		return len(got) == 50
	})
	for id, n := range got {
		if n != 1 {
			t.Errorf("timer %s was given %d times", id, n)
		}
	}
}

func endedContexts(t *testing.T, s alerts.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, claimErr := s.Claim(ctx, key, want("a"), long)
	_, takeErr := s.Take(ctx, 1, long)
	_, dueErr := s.NextDue(ctx, long)
	for what, err := range map[string]error{"claim": claimErr, "take": takeErr, "next due": dueErr, "ready": s.Ready(ctx), "commit": s.Commit(ctx, key, 1, alerts.Sent{}),
		"release": s.Release(ctx, key, 1, 0), "restore": s.Restore(ctx, key, alerts.Sent{}), "arm": s.Arm(ctx, alerts.Timer{ID: "x"}), "done": s.Done(ctx, alerts.Timer{ID: "x"})} {
		if err == nil {
			t.Errorf("%s took a context that had ended", what)
		}
	}
	claim(t, s, key, want("a"), long, alerts.Go)
}

func timersApart(t *testing.T, s alerts.Store) {
	must(t, s.Arm(t.Context(), alerts.Timer{Tenant: "blue", ID: "x"}))
	must(t, s.Arm(t.Context(), alerts.Timer{Tenant: "red", ID: "x", After: long}))
	var list []alerts.Timer
	eventually(t, "one is given", func() bool { _, list = take(t, s, 10, long); return len(list) > 0 })
	if len(list) != 1 || list[0].Tenant != "blue" {
		t.Errorf("%+v", list)
	}
}

func doneAgain(t *testing.T, s alerts.Store) {
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x"}))
	var list []alerts.Timer
	eventually(t, "it is given", func() bool { _, list = take(t, s, 10, time.Millisecond); return len(list) == 1 })
	must(t, s.Done(t.Context(), list[0]))
	must(t, s.Done(t.Context(), list[0]))
	if d, err := s.NextDue(t.Context(), long); err != nil || d != long {
		t.Errorf("next due in %s, %v", d, err)
	}
}
