package deliver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/memory"
)

// faulty is a store that can be away, and another one when it comes back.
type faulty struct {
	mu   sync.Mutex
	s    alerts.Claims // mu
	away bool          // mu
}

func (f *faulty) set(s alerts.Claims, away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.s, f.away = s, away
}

func (f *faulty) use() (alerts.Claims, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errors.New("connection refused")
	}
	return f.s, nil
}

func (f *faulty) Claim(ctx context.Context, k alerts.ClaimKey, w alerts.Want, lease time.Duration) (alerts.Answer, error) {
	s, err := f.use()
	if err != nil {
		return alerts.Answer{}, err
	}
	return s.Claim(ctx, k, w, lease)
}

func (f *faulty) Commit(ctx context.Context, k alerts.ClaimKey, token uint64, sent alerts.Sent) error {
	s, err := f.use()
	if err != nil {
		return err
	}
	return s.Commit(ctx, k, token, sent)
}

func (f *faulty) Release(ctx context.Context, k alerts.ClaimKey, token uint64, retry time.Duration) error {
	s, err := f.use()
	if err != nil {
		return err
	}
	return s.Release(ctx, k, token, retry)
}

func (f *faulty) Restore(ctx context.Context, k alerts.ClaimKey, sent alerts.Sent) error {
	s, err := f.use()
	if err != nil {
		return err
	}
	return s.Restore(ctx, k, sent)
}

// trio are three replicas that look at the same.
func (w *world) trio(claims alerts.Claims) (look func(groups []string), end func()) {
	var all []*replica
	for i := range 3 {
		all = append(all, w.start(claims, i))
	}
	look = func(groups []string) {
		for _, g := range groups {
			for _, r := range all {
				r.Look(key(g))
			}
		}
	}
	return look, func() {
		for _, r := range all {
			r.end()
		}
	}
}

// A store that is wiped is told from the log, so that nobody hears anything twice;
// one that is older than the log, too.
func TestStoreWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), &faulty{s: memory.New()}
		look, end := w.trio(store)
		defer end()
		all := names(100)
		for _, g := range all {
			w.fires(g, "critical")
		}
		look(all)
		time.Sleep(time.Minute)
		store.set(memory.New(), false)
		look(all)
		time.Sleep(time.Minute)
		if n := w.sent(); n != 100 {
			t.Errorf("%d after it was wiped, want 100", n)
		}
		old := store.s
		for _, g := range all {
			w.resolves(g)
		}
		store.set(memory.New(), false)
		look(all)
		time.Sleep(time.Minute)
		w.once(all, 0)
		time.Sleep(time.Hour)
		store.set(old, false) // which does not know of the end
		for _, g := range all {
			w.fires(g, "critical")
		}
		look(all)
		time.Sleep(time.Minute)
		if n := w.sent(); n != 300 {
			t.Errorf("%d when they fire again, want 300: an old store takes them for told", n)
		}
		for _, g := range all {
			w.resolves(g)
		}
		look(all)
		time.Sleep(time.Minute)
		if n := w.sent(); n != 400 {
			t.Errorf("%d at the second end, want 400", n)
		}
	})
}

// A store that is wiped again while it is being told is told again.
func TestStoreWipedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), &faulty{s: memory.New()}
		r := w.start(store, 0)
		defer r.end()
		w.fires("G", "warning")
		r.Look(key("G"))
		time.Sleep(time.Minute)
		store.set(&wiping{Claims: memory.New(), store: store}, false)
		w.resolves("G")
		r.Look(key("G"))
		time.Sleep(time.Minute)
		w.once([]string{"G"}, 0)
	})
}

// wiping is a store that loses the first thing that it is told.
type wiping struct {
	alerts.Claims
	store *faulty
}

func (s *wiping) Restore(ctx context.Context, k alerts.ClaimKey, sent alerts.Sent) error {
	s.store.set(memory.New(), false)
	return s.Claims.Restore(ctx, k, sent)
}

// While the store is away what is severe goes out, once, and the rest waits for it.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), &faulty{s: memory.New()}
		look, end := w.trio(store)
		defer end()
		all := names(40)
		for i, g := range all {
			w.fires(g, []alerts.Severity{"critical", "warning"}[i%2])
		}
		store.set(store.s, true)
		look(all)
		time.Sleep(10 * time.Minute)
		if n := w.sent(); n != 20 {
			t.Errorf("%d went out without the store, want the 20 that are critical", n)
		}
		for i, g := range all {
			if i%4 == 0 { // critical ones
				w.resolves(g)
			}
		}
		look(all)
		time.Sleep(10 * time.Minute)
		if n := w.sent(); n != 30 {
			t.Errorf("%d with the ends of ten, want 30", n)
		}
		store.set(memory.New(), false)
		time.Sleep(time.Minute)
		if n := w.sent(); n != 50 {
			t.Errorf("%d when it is back, want 50", n)
		}
		for _, g := range all {
			w.resolves(g)
		}
		look(all)
		time.Sleep(10 * time.Minute)
		w.once(all, 0)
	})
}

// Without any store the log alone keeps three replicas from telling it thrice.
func TestNoStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		look, end := w.trio(nil)
		defer end()
		all := names(40)
		for _, g := range all {
			w.fires(g, "info")
		}
		look(all)
		time.Sleep(5 * time.Minute)
		for _, g := range all {
			w.resolves(g)
		}
		look(all)
		time.Sleep(5 * time.Minute)
		w.once(all, 0)
	})
}

// A store that goes away in the middle of everything, again and again: nothing is
// lost, and of each outage at most one of each group and replica is too much.
func TestStoreComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), &faulty{s: memory.New()}
		w.answers(func(context.Context, alerts.Notification) error { time.Sleep(300 * time.Millisecond); return nil })
		look, end := w.trio(store)
		defer end()
		all := names(60)
		for _, g := range all {
			w.fires(g, "critical")
		}
		toggle := func() {
			for range 5 {
				look(all)
				time.Sleep(700 * time.Millisecond)
				store.set(store.s, true)
				time.Sleep(20 * time.Second)
				store.set(memory.New(), false)
				time.Sleep(7 * time.Second)
			}
		}
		toggle()
		for _, g := range all {
			w.resolves(g)
		}
		toggle()
		time.Sleep(5 * time.Minute)
		w.once(all, 10*len(all)*3)
		t.Logf("%d notifications of %d", w.sent(), 2*len(all))
	})
}

// A store that has failed over to a copy from before the end takes what fires again at
// once for told. The log knows better, also for who has not sent the end itself.
func TestStoreKnowsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), &faulty{s: memory.New()}
		look, end := w.trio(store)
		defer func() { end() }()
		all, was := names(20), store.s
		told := func(want int) {
			t.Helper()
			look(all)
			time.Sleep(5 * time.Second)
			if n := w.sent(); n != want {
				t.Errorf("%d were sent, want %d", n, want)
			}
		}
		for _, g := range all {
			w.fires(g, "critical")
		}
		told(20)
		store.set(memory.New(), false)
		for _, g := range all {
			w.resolves(g)
		}
		told(40)
		end()
		look, end = w.trio(store)
		store.set(was, false)
		for _, g := range all {
			w.fires(g, "critical")
		}
		told(60)
	})
}
