package deliver

import (
	"context"
	"sync"
	"time"
)

const (
	// freshFor is how long the state is taken for up to date with the log.
	freshFor = 250 * time.Millisecond
	// freshWithin bounds the wait for that. A log that cannot be asked keeps nobody
	// from being told.
	freshWithin = 3 * time.Second
)

// fresh is when the state had last all that the log had. A process that was stopped
// for a while, or that reads slowly, would tell of yesterday: what is firing has ended,
// what has ended fires.
type fresh struct {
	mu sync.Mutex
	at time.Time // mu
}

// wait waits until the state has what the log had a moment ago.
func (f *fresh) wait(ctx context.Context, d *Deliverer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.at.IsZero() && time.Since(f.at) < freshFor {
		return
	}
	within, cancel := context.WithTimeout(ctx, freshWithin)
	defer cancel()
	end, err := d.o.Log.End(within)
	if err == nil {
		err = d.o.State.Reached(within, end)
	}
	if err != nil && ctx.Err() == nil {
		d.said.Warn("fresh", "it is not known whether all that happened to alerts is known here: people are told all the same", "error", err)
	}
	f.at = time.Now()
}
