package replay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// bury makes a dead letter of a group for a destination.
func (r *rig) bury(destination string, g group) {
	r.t.Helper()
	raw, first, last := g.encode()
	r.count++
	id := fmt.Sprintf("01MESSAGE%d", r.count)
	err := deadletter.Publish(r.t.Context(), r.q, topology.DeadLetters,
		deadletter.Origin{Stream: stream, Sequence: uint64(r.count), ID: id, Attempts: 3, StoredAt: time.Now()},
		&record.Record{ID: id, Signal: otlp.Logs, Tenant: g.tenant, Codec: "none", Items: len(g.ids), RawBytes: len(raw), MinTime: first, MaxTime: last, Body: raw},
		"", deadletter.Letter{Reason: deadletter.ReasonRejected, Code: "X", Detail: "old", Destination: destination})
	r.must(err)
}

// buries makes n letters of one item each.
func (r *rig) buries(destination string, n int) (ids []string) {
	r.t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s%04d", destination, i)
		r.bury(destination, group{ids: []string{id}})
		ids = append(ids, id)
	}
	return ids
}

func (r *rig) letters() []deadletter.Info {
	r.t.Helper()
	l, _, err := deadletter.List(r.t.Context(), r.q, topology.DeadLetters, deadletter.Filter{}, 1000, 0)
	r.must(err)
	return l
}

func (r *rig) redrive(x replay.Redrive) string {
	r.t.Helper()
	x.Unlimited = x.Rate == 0
	j, err := replay.StartRedrive(r.t.Context(), r.jobs, r.q, x, replay.StartOptions{By: "op"})
	r.must(err)
	return j.ID
}

func TestRedriveDeliversAndRemoves(t *testing.T) {
	f := func(x replay.Redrive, wantA, wantB, wantLeft int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.buries("a", 5)
			r.bury("a", group{tenant: "x", ids: []string{"of x"}})
			r.buries("b", 3)
			p := r.start()
			defer p.stop()
			id := r.redrive(x)
			r.buries("late", 1)
			j := r.until(id, job.PhaseDone)
			if a, b, left := len(r.a.ids()), len(r.b.ids()), len(r.letters()); a != wantA || b != wantB || left != wantLeft+1 {
				t.Errorf("%+v: %d to a, %d to b, %d left; want %d, %d, %d", x, a, b, left, wantA, wantB, wantLeft+1)
			}
			if j.Progress.Done.Items != uint64(wantA+wantB) || j.Progress.Total.Messages != uint64(wantA+wantB) || j.Hold != nil || !replay.Complete(&j) {
				t.Errorf("%+v: got %+v", x, j.Progress)
			}
		})
	}
	f(replay.Redrive{}, 6, 3, 0)
	f(replay.Redrive{Filter: deadletter.Filter{Destination: "a"}}, 6, 0, 3)
	f(replay.Redrive{Filter: deadletter.Filter{Tenant: "x"}, Destination: "b"}, 0, 1, 8)
	f(replay.Redrive{Filter: deadletter.Filter{Sequences: []uint64{2, 8}}}, 1, 1, 7)
	f(replay.Redrive{Filter: deadletter.Filter{Destination: "a", Reason: "expired"}}, 0, 0, 9)
}

// What is rejected again is kept with one more redrive, alone.
func TestRedriveThatFailsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.bury("a", group{ids: []string{"1", "bad", "3"}})
		r.bury("a", group{ids: []string{"worse"}})
		r.a.answers(rejects("bad", "worse"))
		p := r.start()
		defer p.stop()
		j := r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
		r.took(r.a, []string{"1", "3"})
		check := func(redrives, attempts int) {
			t.Helper()
			l := r.letters()
			slices.SortFunc(l, func(a, b deadletter.Info) int { return int(a.OriginSequence) - int(b.OriginSequence) })
			if len(l) != 2 {
				t.Fatalf("%d letters are left: %+v", len(l), l)
			}
			for i, part := range []string{"1-1", ""} {
				if x := l[i]; x.Part != part || x.Redrives != redrives || x.Attempts != attempts || x.Items != 1 || x.Destination != "a" || x.Code != "INVALID_ARGUMENT" || x.Problem != "" {
					t.Errorf("got %+v", x)
				}
			}
		}
		check(1, 4)
		if j.Progress.Dead.Items != 2 || j.Progress.Dead.Messages != 1 || j.Progress.Done.Items != 2 || replay.Complete(&j) {
			t.Errorf("got %+v", j.Progress)
		}
		j = r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
		check(2, 5)
		if j.Progress.Dead.Items != 2 {
			t.Errorf("got %+v", j.Progress)
		}
		r.b.answers(rejects("bad"))
		r.until(r.redrive(replay.Redrive{Destination: "b"}), job.PhaseDone)
		if l := r.letters(); len(l) != 1 || l[0].Destination != "a" || !strings.HasPrefix(l[0].Detail, "redriven to b: ") || l[0].Redrives != 3 {
			t.Errorf("got %+v", l)
		}
	})
}

// A letter of a replay can be split again and again without two of its parts
// being taken for one.
func TestPartsOfPartsStayApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var ids []string
		for i := range 64 {
			ids = append(ids, fmt.Sprint("bad", i))
		}
		r.store(group{ids: ids})
		r.a.answers(func(ids []string) error {
			if len(ids) > 4 {
				return &exporter.Error{Kind: exporter.TooLarge, Code: "HTTP 413", Err: errors.New("too large")}
			}
			return rejected()
		})
		r.run(replay.Spec{})
		items := func() (n int) {
			for _, l := range r.letters() {
				n += l.Items
				if len(l.Part) > 64 {
					t.Errorf("part %q is cut off", l.Part)
				}
			}
			return n
		}
		if n := items(); n != 64 {
			t.Fatalf("%d items are dead, want 64", n)
		}
		p := r.start()
		defer p.stop()
		for i := range 5 {
			r.a.answers(func(got []string) error { // others each time
				if len(got) > 1 || strings.HasSuffix(got[0], fmt.Sprint(i)) {
					return rejected()
				}
				return nil
			})
			n := len(r.a.ids())
			r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
			if left, sent := items(), len(r.a.ids()); left+sent != 64 || left != 0 && sent == n && i == 0 {
				t.Fatalf("%d items are dead and %d were taken, want 64 in all", left, sent)
			}
		}
	})
}

// Letters that cannot be delivered for what they are stay.
func TestLettersThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.buries("gone", 2)
		r.must(deadletter.PublishRaw(t.Context(), r.q, topology.DeadLetters, deadletter.Origin{Stream: stream, Sequence: 99, ID: "torn"},
			messageOf("torn", "x"), deadletter.Letter{Reason: deadletter.ReasonDamaged, Destination: "a"}))
		ids := r.buries("a", 1)
		p := r.start()
		defer p.stop()
		j := r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
		r.took(r.a, ids)
		notes := strings.Join(j.Note, "\n")
		if j.Progress.Skipped.Messages != 2 || j.Progress.Damaged.Messages != 1 || len(r.letters()) != 3 ||
			!strings.Contains(notes, `letters for destination "gone" stay`) || !strings.Contains(notes, "letter 3 stays: it cannot be read") {
			t.Errorf("got %+v, %d letters left\n%s", j.Progress, len(r.letters()), notes)
		}
		id := r.redrive(replay.Redrive{Filter: deadletter.Filter{Destination: "gone"}})
		to := r.redrive(replay.Redrive{Destination: "nowhere"})
		time.Sleep(3 * time.Second)
		if !strings.Contains(r.get(id).Waiting, `"gone"`) || !strings.Contains(r.get(to).Waiting, `"nowhere"`) {
			t.Errorf("got %q and %q", r.get(id).Waiting, r.get(to).Waiting)
		}
	})
}

// One destination that takes nothing delays no letter of another, and gets its
// own when it is back.
func TestADeadDestinationDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.buries("a", 50)
		b := r.buries("b", 50)
		r.a.answers(func([]string) error { return unavailable(0) })
		p := r.start()
		defer p.stop()
		id := r.redrive(replay.Redrive{})
		time.Sleep(5 * time.Second)
		r.took(r.b, b)
		time.Sleep(5 * time.Minute)
		r.a.mu.Lock()
		if r.a.tries > 60 {
			t.Errorf("%d tries in 5 minutes", r.a.tries)
		}
		r.a.mu.Unlock()
		j := r.get(id)
		if j.Progress.Done.Messages != 50 || !strings.Contains(j.Error, "UNAVAILABLE") || j.Progress.Retries == 0 {
			t.Errorf("got %+v, %q", j.Progress, j.Error)
		}
		// Resumed by another it goes on.
		p.stop()
		p = r.start()
		defer p.stop()
		time.Sleep(time.Minute)
		r.must(r.q.RemoveMessage(t.Context(), topology.DeadLetters, 1)) // by an operator
		r.a.answers(nil)
		j = r.until(id, job.PhaseDone)
		r.took(r.a, a[1:])
		if len(r.letters()) != 0 || j.Progress.Done.Messages != 99 || j.Progress.Missing.Messages != 1 || j.Progress.Duplicates.Messages != 0 {
			t.Errorf("%d letters are left; %+v", len(r.letters()), j.Progress)
		}
	})
}

// What was taken of a letter before its destination went away is not sent again.
func TestAPartThatWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.bury("a", group{ids: []string{"1", "2", "3", "4"}})
		var n atomic.Int64
		r.a.answers(func(ids []string) error {
			switch k := n.Add(1); {
			case len(ids) > 2:
				return &exporter.Error{Kind: exporter.TooLarge, Code: "HTTP 413", Err: errors.New("too large")}
			case k > 2 && k < 6:
				return unavailable(0)
			}
			return nil
		})
		p := r.start()
		defer p.stop()
		r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
		r.took(r.a, []string{"1", "2", "3", "4"})
	})
}

// lossy loses what is to be removed, and what is renewed.
type lossy struct {
	queue.Queue
	dies atomic.Bool
	die  func()
}

func (l *lossy) RemoveMessage(ctx context.Context, stream string, seq uint64) error {
	if l.dies.CompareAndSwap(true, false) {
		l.die()
		return queue.ErrUnavailable
	}
	return l.Queue.RemoveMessage(ctx, stream, seq)
}

// A process that dies between the export, or the renewal, and the removal: the
// letter is sent again, is counted, and none is lost or doubled.
func TestCrashBeforeTheRemoval(t *testing.T) {
	f := func(bad string, wantSent int, wantLeft int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			ids := r.buries("a", 10)
			r.a.answers(rejects(bad))
			first := &lossy{Queue: r.q}
			first.dies.Store(true)
			r.changes = append(r.changes, func(o *replay.Options) { o.Queue = first })
			whole := r.q
			r.q = first
			p := r.start()
			r.q = whole
			first.die = func() { p.off.Store(true) }
			id := r.redrive(replay.Redrive{Concurrency: 1})
			time.Sleep(time.Second)
			r.changes = nil
			p2 := r.start()
			defer p2.stop()
			j := r.until(id, job.PhaseDone)
			p.stop()
			got := slices.Compact(r.a.ids())
			if len(got) != wantSent || len(r.letters()) != wantLeft || j.Orphaned != 1 {
				t.Errorf("%d of %d were taken, %d letters are left, want %d and %d", len(got), len(ids), len(r.letters()), wantSent, wantLeft)
			}
			twice := len(r.a.ids()) - len(got)
			if twice > int(j.Progress.Duplicates.Items) || j.Progress.Duplicates.Items > 10 {
				t.Errorf("%d were sent twice and %d are told of", twice, j.Progress.Duplicates.Items)
			}
		})
	}
	f("none", 10, 0)
	f("a0000", 9, 1)
}

// A redrive that is paused and resumed, by another process, repeats nothing.
func TestRedriveIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.buries("a", 100)
		r.a.delay = 100 * time.Millisecond
		p := r.start()
		id := r.redrive(replay.Redrive{})
		time.Sleep(2 * time.Second)
		r.wish(id, job.WishPause)
		j := r.until(id, job.PhasePaused)
		if n := len(r.a.ids()); n == 0 || n == 100 || len(r.letters()) != 100-n || j.Progress.Done.Messages != uint64(n) {
			t.Errorf("paused after %d with %d letters left: %+v", n, len(r.letters()), j.Progress)
		}
		p.stop()
		r.wish(id, job.WishRun)
		p = r.start()
		defer p.stop()
		j = r.until(id, job.PhaseDone)
		r.took(r.a, ids)
		if j.Progress.Done.Messages != 100 || j.Progress.Duplicates.Messages != 0 {
			t.Errorf("got %+v", j.Progress)
		}
	})
}

// A letter that is not done when a redrive is paused costs the count of none behind
// it, which are gone from the stream.
func TestRedriveIsPausedBesideASlowLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.buries("a", 20)
		r.a.hangs(ids[0])
		p := r.start()
		id := r.redrive(replay.Redrive{})
		time.Sleep(10 * time.Second)
		r.wish(id, job.WishPause)
		j := r.until(id, job.PhasePaused)
		if j.Progress.Done.Messages != 19 {
			t.Errorf("paused at %+v, want 19 done", j.Progress)
		}
		p.stop()
		r.a.hangs("")
		r.wish(id, job.WishRun)
		p = r.start()
		defer p.stop()
		j = r.until(id, job.PhaseDone)
		r.took(r.a, ids)
		if j.Progress.Done.Messages != 20 || j.Progress.Duplicates.Messages != 1 { // the first may have been taken
			t.Errorf("got %+v", j.Progress)
		}
	})
}

func TestRedriveAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 20 {
			r.bury("a", group{ids: []string{fmt.Sprint(i)}, pad: 1000})
		}
		p := r.start()
		defer p.stop()
		start := time.Now()
		r.until(r.redrive(replay.Redrive{Rate: 2 << 10}), job.PhaseDone)
		if d := time.Since(start); d < 9*time.Second || d > 13*time.Second {
			t.Errorf("21 KB at 2 KiB a second took %s", d)
		}
	})
}

// told is a ledger that fails at first.
type told struct {
	fails atomic.Int64
	mu    sync.Mutex
	n     map[uint64]uint64 // items by letter
}

func (l *told) Redriven(_ context.Context, letters []ledger.Redriven) error {
	if l.fails.Add(-1) >= 0 {
		return queue.ErrUnavailable
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range letters {
		l.n[x.Letter.Sequence] += x.Items
	}
	return nil
}

// The ledger knows of a letter before it is removed, and what of it was taken.
func TestTheLedgerIsToldOfRedrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := &told{n: map[uint64]uint64{}}
		l.fails.Store(3)
		r.changes = append(r.changes, func(o *replay.Options) { o.Ledger = l })
		r.bury("a", group{ids: []string{"1", "bad", "3"}})
		r.buries("a", 5)
		r.store(group{ids: []string{"bad"}})
		r.a.answers(rejects("bad"))
		p := r.start()
		defer p.stop()
		r.until(r.replay(replay.Spec{}), job.PhaseDone) // a letter that no lane wrote
		id := r.redrive(replay.Redrive{})
		time.Sleep(500 * time.Millisecond)
		if n := len(r.letters()); n != 9 { // two of them renewed
			t.Errorf("%d letters are there before the ledger knows, want 9", n)
		}
		r.until(id, job.PhaseDone)
		if want := map[uint64]uint64{1: 2, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}; !maps.Equal(l.n, want) {
			t.Errorf("the ledger was told of %v, want %v", l.n, want)
		}
	})
}

// From a stream that cannot give up single letters nothing is delivered: each
// redrive would deliver all of it again.
func TestLettersThatCannotBeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.DeadLetters, MaxBytes: 20 << 20}); err != nil {
			t.Fatal(err)
		}
		r := rigOn(t, q)
		r.buries("a", 3)
		p := r.start()
		defer p.stop()
		j := r.until(r.redrive(replay.Redrive{}), job.PhaseFailed)
		if len(r.a.ids()) != 0 || !strings.Contains(j.Error, "nothing was delivered") {
			t.Errorf("%d were delivered, %q", len(r.a.ids()), j.Error)
		}
	})
}

// A letter that was put off and is delivered, and cannot be removed yet, is not
// delivered again meanwhile.
func TestALetterThatIsBeingRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := &told{n: map[uint64]uint64{}}
		l.fails.Store(3)
		r.changes = append(r.changes, func(o *replay.Options) { o.Ledger = l })
		ids := r.buries("a", 3)
		var tries atomic.Int64
		r.a.answers(func([]string) error {
			if tries.Add(1) < 4 {
				return unavailable(0)
			}
			return nil
		})
		p := r.start()
		defer p.stop()
		j := r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
		r.took(r.a, ids)
		if j.Progress.Done.Messages != 3 || len(r.letters()) != 0 {
			t.Errorf("got %+v", j.Progress)
		}
	})
}
