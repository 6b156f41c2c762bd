package replay_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// crowded is a queue whose dead-letter stream has room for a new letter once an
// old one is removed.
type crowded struct {
	queue.Queue
	room, refused atomic.Int64
}

func (c *crowded) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	if stream == topology.DeadLetters {
		if c.room.Add(-1) < 0 {
			c.room.Add(1)
			c.refused.Add(1)
			return queue.Receipt{}, fmt.Errorf("stream %s: %w", stream, queue.ErrFull)
		}
	}
	return c.Queue.Publish(ctx, stream, m)
}

func (c *crowded) RemoveMessage(ctx context.Context, stream string, seq uint64) error {
	err := c.Queue.RemoveMessage(ctx, stream, seq)
	if err == nil {
		c.room.Add(1)
	}
	return err
}

// Letters that die again while the dead-letter stream is full wait, and those
// that are taken make the room. Nothing of a letter is sent or stored twice.
func TestRedriveOfAFullStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		c := &crowded{Queue: r.q}
		r.changes = append(r.changes, func(o *replay.Options) { o.Queue = c })
		r.bury("a", group{ids: []string{"bad1", "1", "bad2", "2", "bad3"}})
		r.bury("a", group{ids: []string{"bad4"}})
		r.bury("a", group{ids: []string{"3", "bad5"}})
		good := r.buries("b", 6)
		r.a.answers(rejects("bad1", "bad2", "bad3", "bad4", "bad5"))
		r.b.delay = 3 * time.Second
		whole := r.q
		r.q = c
		p := r.start()
		r.q = whole
		defer p.stop()
		j := r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
		r.took(r.a, []string{"1", "2", "3"})
		r.took(r.b, good)
		left := map[string]int{}
		for _, l := range r.letters() {
			left[fmt.Sprintf("%d:%s", l.OriginSequence, l.Part)]++
		}
		if len(left) != 5 || left["1:0-0"] != 1 || left["1:2-2"] != 1 || left["1:4-4"] != 1 || left["2:"] != 1 || left["3:1-1"] != 1 {
			t.Errorf("letters are left: %v", left)
		}
		if c.refused.Load() == 0 || j.Progress.Done.Items != 9 || j.Progress.Dead.Items != 5 || j.Progress.Duplicates.Items != 0 {
			t.Errorf("%d were refused; %+v", c.refused.Load(), j.Progress)
		}
	})
}

// Two redrives of the same letters may both deliver one, which is counted.
func TestTwoRedrivesOfALetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.buries("a", 5)
		r.a.delay = time.Second
		p := r.start()
		defer p.stop()
		one, two := r.redrive(replay.Redrive{}), r.redrive(replay.Redrive{})
		a, b := r.until(one, job.PhaseDone).Progress, r.until(two, job.PhaseDone).Progress
		twice := uint64(len(r.a.ids()) - 5)
		if twice == 0 || a.Duplicates.Items+b.Duplicates.Items != twice {
			t.Errorf("%d were sent twice; %+v and %+v", twice, a, b)
		}
	})
}

// What was taken of a letter that is put off is known to the process alone: after
// a pause it is sent again and counted.
func TestAPartThatWasTakenBeforeAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.bury("a", group{ids: []string{"1", "2", "3", "4"}})
		var down atomic.Bool
		r.a.answers(func(ids []string) error {
			switch {
			case len(ids) > 2:
				return &exporter.Error{Kind: exporter.TooLarge, Code: "HTTP 413", Err: errors.New("too large")}
			case down.Swap(true):
				return unavailable(0)
			}
			return nil
		})
		p := r.start()
		defer p.stop()
		id := r.redrive(replay.Redrive{})
		time.Sleep(10 * time.Second)
		r.wish(id, job.WishPause)
		r.until(id, job.PhasePaused)
		r.a.answers(nil)
		r.wish(id, job.WishRun)
		j := r.until(id, job.PhaseDone)
		if twice := len(r.a.ids()) - 4; twice != 2 || j.Progress.Duplicates.Items < 2 {
			t.Errorf("%d were sent twice, want 2: %+v", twice, j.Progress)
		}
	})
}

// A letter that is removed while another one is tried was not removed by others.
func TestALetterThatWasRemovedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		l := &told{n: map[uint64]uint64{}}
		l.fails.Store(3)
		r.changes = append(r.changes, func(o *replay.Options) { o.Ledger = l })
		slow, quick := r.buries("b", 1), r.buries("a", 1)
		var b, a atomic.Int64
		r.b.delay = 20 * time.Second
		r.b.answers(func([]string) error {
			if b.Add(1) < 3 {
				return unavailable(0)
			}
			return nil
		})
		r.a.answers(func([]string) error {
			if a.Add(1) < 2 {
				return unavailable(0)
			}
			return nil
		})
		p := r.start()
		defer p.stop()
		j := r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
		r.took(r.a, quick)
		r.took(r.b, slow)
		if j.Progress.Done.Messages != 2 || j.Progress.Missing.Messages != 0 {
			t.Errorf("got %+v", j.Progress)
		}
	})
}
