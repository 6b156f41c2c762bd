package audit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// TestTidyByAge: what is over its retention goes, after an entry that says so, and
// the chain can be verified from there.
func TestTidyByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		r := newRig(t, "p")
		r.o.Config.Retention = config.Duration(24 * time.Hour)
		tidier := r.Tidier()
		tidier.Round(t.Context()) // without a queue
		r.Start(q)
		at := func(hours int) {
			for range 3 {
				r.Record(Event{Action: fmt.Sprint("hour ", hours), Outcome: Done})
			}
			time.Sleep(time.Hour)
			synctest.Wait()
		}
		for h := range 30 {
			at(h)
		}
		before := whole(t, q, 90)
		old := Head{N: 5, Hash: hashOf(all(t, q)[4])}
		tidier.Round(t.Context())
		synctest.Wait()
		rep := whole(t, q, 90-18+1)
		if rep.First != 19 || rep.PurgedTo == nil || rep.PurgedTo.N != 18 || testutil.ToFloat64(r.metrics.purged.WithLabelValues(reasonAge)) != 18 {
			t.Fatalf("%+v", rep)
		}
		if got := verify(t, q, &before.Head); !got.OK || got.Since == nil {
			t.Errorf("a head that is there: %+v", got)
		}
		if got := verify(t, q, rep.PurgedTo); !got.OK || got.Since == nil {
			t.Errorf("the head that was purged last: %+v", got)
		}
		if got := verify(t, q, &Head{N: 18, Hash: genesis}); got.OK || got.Breaks[0].Kind != BreakRewritten {
			t.Errorf("another hash of the one that was purged last: %+v", got)
		}
		if got := verify(t, q, &old); !got.OK || got.Since != nil || got.Unproved == "" {
			t.Errorf("a head that was purged: %+v", got)
		}
		// Once a minute, and again and again.
		tidier.Round(t.Context())
		whole(t, q, 90-18+1)
		time.Sleep(2 * time.Hour)
		tidier.Round(t.Context())
		if rep := whole(t, q, -1); rep.First != 25 || rep.PurgedTo.N != 24 {
			t.Errorf("%+v", rep)
		}
		// The last one stays, however old.
		time.Sleep(1000 * time.Hour)
		tidier.Round(t.Context())
		if rep := whole(t, q, 2); rep.PurgedTo == nil {
			t.Errorf("%+v", rep)
		}
		r.stop(t)
	})
}

// TestTidyForSpace: a stream that runs full gives up its oldest entries.
func TestTidyForSpace(t *testing.T) {
	q := memory.New()
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.Audit, MaxBytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "p")
	r.o.Config.Retention = 0
	r.Start(q)
	for range 3 {
		fill(t, q, 4<<20*85/100)
		last := whole(t, q, -1)
		r.Tidier().Round(t.Context())
		rep := whole(t, q, -1)
		st, err := q.StreamState(t.Context(), topology.Audit)
		if err != nil || st.Bytes > 4<<20*71/100 || rep.First <= last.First || rep.PurgedTo == nil {
			t.Fatalf("%+v, %+v, %v", rep, st, err)
		}
	}
	r.stop(t)
	if r.lost(reasonFull) != 0 || testutil.ToFloat64(r.metrics.purged.WithLabelValues(reasonSpace)) == 0 {
		t.Error("metrics")
	}
}

// TestTidyRecordsFirst: when it cannot be recorded, nothing goes; and a purge that
// was recorded and not done spoils nothing.
func TestTidyRecordsFirst(t *testing.T) {
	q := &stubborn{moody: &moody{Queue: memory.New()}}
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.Audit, MaxBytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	fill(t, q, 4<<20*85/100)
	entries := int(whole(t, q, -1).Entries)
	r := newRig(t, "p")
	r.Start(q)
	q.fail(func(uint64) error { return queue.ErrFull })
	r.Tidier().Round(t.Context())
	whole(t, q, entries)
	if !r.lines.has("old audit entries are not removed") || !r.lines.has("it cannot be recorded that they go") {
		t.Errorf("it is not told: %s", r.lines.b.String())
	}
	q.fail(nil)
	q.err = errors.New("no purge")
	r.Tidier().Round(t.Context())
	if rep := whole(t, q, entries+1); rep.PurgedTo != nil || rep.First != 1 {
		t.Errorf("%+v", rep)
	}
	q.err = nil
	r.Tidier().Round(t.Context())
	if rep := whole(t, q, -1); rep.PurgedTo == nil || rep.First == 1 {
		t.Errorf("%+v", rep)
	}
	r.stop(t)
}

// stubborn does not purge.
type stubborn struct {
	*moody
	err error
}

func (q *stubborn) Purge(ctx context.Context, stream string, seq uint64) error {
	if q.err != nil {
		return q.err
	}
	return q.moody.Purge(ctx, stream, seq)
}

// TestVerifyWhilePurging: entries that are purged by the rules while it reads are
// not taken for lost.
func TestVerifyWhilePurging(t *testing.T) {
	_, q := serve(t)
	fill(t, q, 2<<20)
	st, err := q.StreamState(t.Context(), topology.Audit)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "p")
	c := newChain(q, r.metrics, r.o.Logger)
	purges := 0
	rep, err := Verify(t.Context(), &slowly{q, func(seq uint64) error {
		if seq > 1 || purges > 0 {
			return nil
		}
		purges++
		last, err := lastBefore(t.Context(), q, 1, st.LastSeq-1)
		if err != nil {
			return err
		}
		if _, err := c.append(t.Context(), Event{Action: "purge", Outcome: Done}, &last, true); err != nil {
			return err
		}
		return q.Purge(t.Context(), topology.Audit, last.N)
	}}, nil, nil)
	if err != nil || !rep.OK || purges != 1 || rep.PurgedTo == nil || rep.PurgedTo.N != st.LastSeq-1 {
		t.Fatalf("%+v, %v", rep, err)
	}
}

// slowly does something after each entry that is read.
type slowly struct {
	Queue
	after func(seq uint64) error
}

func (q *slowly) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	o.MaxMessages = 1 // so that what is purged was not read before
	b, err := q.Queue.Browse(ctx, stream, o)
	return &slowBrowser{b, q.after}, err
}

type slowBrowser struct {
	queue.Browser
	after func(seq uint64) error
}

func (b *slowBrowser) Next(ctx context.Context) (queue.Entry, error) {
	e, err := b.Browser.Next(ctx)
	if err == nil {
		err = b.after(e.Sequence)
	}
	return e, err
}
