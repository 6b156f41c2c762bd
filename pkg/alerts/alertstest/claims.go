package alertstest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// An answer that was lost is asked for again: that changes nothing and is no error.
func endTwice(t *testing.T, s alerts.Store) {
	a := claim(t, s, key, want("a"), long, alerts.Go)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: []alerts.Key{"a"}}))
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: []alerts.Key{"b"}}))
	claim(t, s, key, want("a"), long, alerts.NotNeeded)
	if err := s.Release(t.Context(), key, a.Token, 0); !errors.Is(err, alerts.ErrLost) {
		t.Errorf("a release after the commit: %v", err)
	}
	a = claim(t, s, key, want("b"), long, alerts.Go)
	must(t, s.Release(t.Context(), key, a.Token, 0))
	must(t, s.Release(t.Context(), key, a.Token, long))
	claim(t, s, key, want("b"), long, alerts.Go)
	if err := s.Release(t.Context(), key, a.Token, 0); !errors.Is(err, alerts.ErrLost) {
		t.Errorf("a release of a claim that another has: %v", err)
	}
}

func notKept(t *testing.T, s alerts.Store) {
	a := claim(t, s, key, want("a"), long, alerts.Go)
	sent := alerts.Sent{Firing: []alerts.Key{"a"}, Data: []byte("x")}
	must(t, s.Commit(t.Context(), key, a.Token, sent))
	other := alerts.ClaimKey{Group: "restored"}
	restored := alerts.Sent{Firing: []alerts.Key{"a"}, At: time.Now()}
	must(t, s.Restore(t.Context(), other, restored))
	sent.Firing[0], sent.Data[0], restored.Firing[0] = "z", 'z', "z"
	for range 2 { // what is answered is not kept either
		n := claim(t, s, key, want("a"), long, alerts.NotNeeded)
		if n.Last.Firing[0] != "a" || string(n.Last.Data) != "x" {
			t.Errorf("%+v", n.Last)
		}
		n.Last.Firing[0], n.Last.Data[0] = "z", 'z'
		claim(t, s, other, want("a"), long, alerts.NotNeeded)
	}
}

// However many there are, the same is not sent again and another is.
func manyAlerts(t *testing.T, s alerts.Store) {
	var all []alerts.Key
	for n := range 20_000 {
		all = append(all, alerts.Key(fmt.Sprintf("%032d", n)))
	}
	w := want(all...)
	a := claim(t, s, key, w, long, alerts.Go)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: w.Firing}))
	n := claim(t, s, key, w, long, alerts.NotNeeded)
	if len(n.Last.Firing) == 0 {
		t.Error("it is not known that anything was sent")
	}
	a = claim(t, s, key, want(append(slices.Clone(all), "one more")...), long, alerts.Go)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: w.Firing}))
	end := alerts.Want{Resolved: w.Firing, Repeat: long, SendResolved: true}
	a = claim(t, s, key, end, long, alerts.Go)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Resolved: w.Firing}))
	claim(t, s, key, end, long, alerts.NotNeeded)
}

// The store decides as Want.Needed does.
func anyWant(t *testing.T, s alerts.Store) {
	r := rand.New(rand.NewPCG(5, 10))
	some := func() (list []alerts.Key) {
		for _, k := range []alerts.Key{"a", "b", "c"} {
			if r.IntN(2) == 0 {
				list = append(list, k)
			}
		}
		return list
	}
	for n := range 400 {
		now := time.Now()
		last := alerts.Sent{Firing: some(), Resolved: some(), At: now.Add(-time.Duration(r.IntN(2)*2+1) * time.Hour)}
		w := alerts.Want{Firing: some(), Resolved: some(), Repeat: time.Duration(r.IntN(2)*2) * time.Hour, Always: r.IntN(8) == 0, SendResolved: r.IntN(2) == 0}
		k := alerts.ClaimKey{Group: fmt.Sprint(n)}
		must(t, s.Restore(t.Context(), k, last))
		a, err := s.Claim(t.Context(), k, w, long)
		must(t, err)
		if needed := w.Needed(last, now); needed != (a.Verdict == alerts.Go) || a.Verdict == alerts.Held {
			t.Errorf("verdict %d, needed %v: %+v after %+v", a.Verdict, needed, w, last)
		}
	}
}

// What the log knows comes in while a replica sends: it may still say that it has.
func restoreWhileHeld(t *testing.T, s alerts.Store) {
	a := claim(t, s, key, want("a", "b"), long, alerts.Go)
	must(t, s.Restore(t.Context(), key, alerts.Sent{Firing: []alerts.Key{"a"}, At: time.Now(), Token: a.Token + 1000}))
	claim(t, s, key, want("a", "b"), long, alerts.Held)
	claim(t, s, key, want("a"), long, alerts.NotNeeded)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: []alerts.Key{"a", "b"}}))
	claim(t, s, key, want("a", "b"), long, alerts.NotNeeded)
}

func limits(t *testing.T, s alerts.Store) {
	for n := range 3 {
		must(t, s.Arm(t.Context(), alerts.Timer{ID: fmt.Sprint(n), After: -time.Hour}))
	}
	for _, limit := range []int{0, -1} {
		if ids, _ := take(t, s, limit, long); len(ids) != 0 {
			t.Errorf("with limit %d: %v", limit, ids)
		}
	}
	var got []string
	eventually(t, "all are given", func() bool {
		ids, _ := take(t, s, 2, long)
		if len(ids) > 2 {
			t.Errorf("with limit 2: %v", ids)
		}
		got = append(got, ids...)
		return len(got) == 3
	})
}
