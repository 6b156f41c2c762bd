package deliver_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/memory"
)

// Three replicas look at everything; one of them tells it.
func TestEachIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), memory.New()
		w.answers(func(context.Context, alerts.Notification) error { time.Sleep(time.Second); return nil })
		var all []*replica
		for i := range 3 {
			all = append(all, w.start(store, i))
			defer all[i].end()
		}
		look := func(g string) {
			for _, r := range all {
				r.Look(key(g))
				r.Look(key(g))
			}
		}
		for _, g := range names(500) {
			w.fires(g, "warning")
			look(g)
		}
		time.Sleep(5 * time.Minute)
		for _, g := range names(500) {
			look(g) // nothing new
			w.resolves(g)
			look(g)
		}
		time.Sleep(5 * time.Minute)
		w.once(names(500), 0)
		if n := w.sent(); n != 1000 {
			t.Errorf("%d notifications, want 1000", n)
		}
		if got := w.kinds("G000"); !slices.Equal(got, []alerts.Kind{alerts.EventNotified, alerts.EventNotified}) {
			t.Errorf("history has %v", got)
		}
		if owed := all[0].state.Owed(); len(owed) != 0 {
			t.Errorf("%d ends are owed", len(owed))
		}
	})
}

// The same is told again after the repeat interval, and not before.
func TestRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(memory.New(), 0)
		defer r.end()
		w.fires("G", "warning")
		for range 10 {
			r.Look(key("G"))
			time.Sleep(time.Hour)
		}
		if n := w.sent(); n != 3 {
			t.Errorf("told %d times in ten hours, want 3", n)
		}
	})
}

// A receiver that fails is tried until it takes it, and holds up no other one; what
// it gets is what is then.
func TestAReceiverThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), memory.New()
		a, b := w.start(store, 0), w.start(store, 1)
		defer a.end()
		defer b.end()
		down, tries := true, 0
		w.answers(func(ctx context.Context, n alerts.Notification) error {
			if n.Receiver != key("").Receiver {
				return nil
			}
			w.mu.Lock()
			tries++
			fails := down
			w.mu.Unlock()
			if fails {
				<-ctx.Done() // hangs
				return ctx.Err()
			}
			return nil
		})
		for _, g := range names(20) {
			w.fires(g, "warning")
			a.Look(key(g))
			b.Look(key(g))
			a.Look(alerts.ClaimKey{Group: g, Receiver: "other/webhook/0"})
		}
		time.Sleep(time.Second)
		if n := w.sent(); n != 20 {
			t.Errorf("%d notifications of the receiver that works, want 20", n)
		}
		time.Sleep(30 * time.Minute)
		if n := w.sent(); n != 20 {
			t.Errorf("%d", n)
		}
		w.do(func() {
			if tries < 100 || tries > 2000 {
				t.Errorf("%d tries in 30 minutes", tries)
			}
			down = false
		})
		w.resolves("G000") // never told of its beginning: nobody hears of its end
		time.Sleep(10 * time.Minute)
		if n := w.sent(); n != 39 {
			t.Errorf("%d notifications, want 39", n)
		}
		failed := 0
		for _, k := range w.kinds("G001") {
			if k == alerts.EventNotifyFailed {
				failed++
			}
		}
		if failed < 1 || failed > 2 { // each replica says it once
			t.Errorf("history has it %d times that G001 fails", failed)
		}
	})
}

func TestARefusalIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(memory.New(), 0)
		defer r.end()
		tries := 0
		w.answers(func(context.Context, alerts.Notification) error {
			w.do(func() { tries++ })
			return errRefused
		})
		w.fires("G", "warning")
		for range 10 {
			r.Look(key("G"))
			time.Sleep(time.Hour)
		}
		w.do(func() {
			if tries != 3 {
				t.Errorf("%d tries in ten hours, want 3", tries)
			}
		})
		if got := w.kinds("G"); len(got) != 3 || got[0] != alerts.EventNotifyDropped {
			t.Errorf("history has %v", got)
		}
		if n := r.metric("notifications_total"); n != 3 {
			t.Errorf("%v are counted", n)
		}
	})
}

// crashing is a store whose commits never arrive.
type crashing struct{ alerts.Claims }

func (crashing) Commit(context.Context, alerts.ClaimKey, uint64, alerts.Sent) error {
	return alerts.ErrLost
}

// A replica that dies between send and commit causes one more.
func TestCrashBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), memory.New()
		other := newWorld(t) // of the dead one nothing is in the log
		other.groups, other.answer = w.groups, func(_ context.Context, n alerts.Notification) error {
			_, err := w.send(context.Background(), n)
			return err
		}
		dead, lives := other.start(crashing{store}, 0), w.start(store, 1)
		defer lives.end()
		for _, g := range names(50) {
			w.fires(g, "warning")
		}
		for _, g := range names(50) { // whose groups have another lock
			dead.Look(key(g))
		}
		synctest.Wait()
		dead.end()
		for _, g := range names(50) {
			lives.Look(key(g))
		}
		time.Sleep(time.Second)
		if n := w.sent(); n != 50 {
			t.Errorf("%d while the leases last, want 50", n)
		}
		time.Sleep(time.Minute)
		for _, g := range names(50) {
			w.resolves(g)
			lives.Look(key(g))
		}
		time.Sleep(time.Minute)
		w.once(names(50), 50)
	})
}

// A level of a policy is told once whoever looks, the next one again, and one end
// for all of them.
func TestLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), memory.New()
		w.repeat = 0
		a, b := w.start(store, 0), w.start(store, 1)
		defer a.end()
		defer b.end()
		w.fires("incident/1", "critical")
		f := func(level int, want int) {
			t.Helper()
			w.do(func() { w.told = &alerts.Told{At: time.UnixMilli(int64(level)), Level: level} })
			for range 3 {
				a.Look(key("incident/1"))
				b.Look(key("incident/1"))
				time.Sleep(time.Minute)
			}
			if n := w.sent(); n != want {
				t.Errorf("%d notifications, want %d", n, want)
			}
		}
		f(1, 1)
		f(2, 2)
		w.joins("incident/1") // nobody hears of it before the next level
		f(2, 2)
		f(3, 3)
		w.resolves("incident/1")
		f(3, 4)
	})
}

// A stop lets what is being sent end, and leaves the rest to others.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), memory.New()
		w.answers(func(context.Context, alerts.Notification) error { time.Sleep(10 * time.Second); return nil })
		a := w.start(store, 0)
		for _, g := range names(20) {
			w.fires(g, "warning")
			a.Look(key(g))
		}
		time.Sleep(time.Second)
		a.end()
		if n := w.sent(); n != 8 {
			t.Errorf("%d were sent, want the 8 that had begun", n)
		}
		a.Look(key("G000"))
		b := w.start(store, 1)
		defer b.end()
		for _, g := range names(20) {
			b.Look(key(g))
		}
		time.Sleep(time.Minute)
		if n := w.sent(); n != 20 {
			t.Errorf("%d were sent, want 20", n)
		}
	})
}

// A log that is away keeps nobody from being told; history has it when it is back.
func TestLogAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(memory.New(), 0)
		defer r.end()
		for range 30 {
			w.log.Fail(alerts.ErrFull)
		}
		w.fires("G", "warning")
		r.Look(key("G"))
		time.Sleep(10 * time.Second)
		if w.sent() != 1 || len(w.kinds("G")) != 0 {
			t.Errorf("%d sent, %v in the log", w.sent(), w.kinds("G"))
		}
		time.Sleep(time.Minute)
		if got := w.kinds("G"); len(got) != 1 {
			t.Errorf("history has %v", got)
		}
	})
}
