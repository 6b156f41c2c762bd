package deliver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// maxUnrecorded bounds the events that wait for the log; beyond it the oldest is
// left out, and counted.
const maxUnrecorded = 10_000

// recorder writes what was sent into the log, many at once, and waits for it while it
// is not there.
type recorder struct {
	d    *Deliverer
	ctx  context.Context // ends when stop gives up
	cut  context.CancelFunc
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	waiting []alerts.Event // mu
	writing int            // mu; so many of them are on their way
	ending  bool           // mu
}

func (r *recorder) init(d *Deliverer) {
	r.d, r.wake, r.done = d, make(chan struct{}, 1), make(chan struct{})
	r.ctx, r.cut = context.WithCancel(context.Background())
	go r.run()
}

func (r *recorder) add(e alerts.Event) {
	r.mu.Lock()
	if n := len(r.waiting); n >= maxUnrecorded {
		r.waiting = append(r.waiting[:r.writing], r.waiting[r.writing+1:]...)
		r.d.o.Metrics.unrecorded.Inc()
	}
	r.waiting = append(r.waiting, e)
	r.mu.Unlock()
	r.nudge()
}

func (r *recorder) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run writes until stop has been called and nothing waits, or stop gives up.
func (r *recorder) run() {
	defer close(r.done)
	for {
		batch, ending := r.next()
		if len(batch) == 0 {
			if ending {
				return
			}
			<-r.wake
			continue
		}
		at, err := alerts.Do(r.ctx, r.d.o.Log, r.d.o.State, func() ([]alerts.Event, error) { return batch, nil })
		if err == nil {
			err = r.d.o.State.Reached(r.ctx, at)
			r.d.recorded(batch)
			r.written(len(batch))
		}
		if err == nil {
			continue
		}
		if r.ctx.Err() != nil {
			return
		}
		r.d.said.Warn("record", "the log of alerts does not take what was sent; it is tried again", "events", len(batch), "error", err)
		t := time.NewTimer(firstWait)
		select {
		case <-t.C:
		case <-r.ctx.Done():
		}
		t.Stop()
	}
}

func (r *recorder) next() (batch []alerts.Event, ending bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = min(len(r.waiting), alerts.MaxEvents)
	return r.waiting[:r.writing:r.writing], r.ending
}

func (r *recorder) written(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting, r.writing = r.waiting[n:], 0
	if len(r.waiting) == 0 {
		r.waiting = nil
	}
}

// stop writes what waits until ctx ends.
func (r *recorder) stop(ctx context.Context) error {
	r.mu.Lock()
	r.ending = true
	r.mu.Unlock()
	r.nudge()
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	r.cut()
	<-r.done
	r.mu.Lock()
	left := len(r.waiting)
	r.mu.Unlock()
	if left > 0 {
		return fmt.Errorf("%d notifications are not in the log of alerts: history lacks them", left)
	}
	return nil
}
