package replay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
)

// Back-off of exports that fail, and of dead letters that are not confirmed.
const (
	firstWait = time.Second
	longWait  = 30 * time.Second
)

// backoff before the try after so many: doubled each time, half of it at random.
func backoff(tries int) time.Duration {
	d := min(longWait, firstWait<<min(tries-1, 10))
	return d/2 + rand.N(d/2+1)
}

// delivery sends records to one destination.
type delivery struct {
	kind    string
	name    string // of the destination
	crew    *crew
	to      *paced
	max     int // bytes of a request
	header  []exporter.Header
	run     *job.Run
	track   *tracker
	metrics *Metrics
}

// newDelivery prepares a destination for a job.
func newDelivery(kind, name string, o *Options, c *crew, t *tracker, d Destination, l *limits) *delivery {
	yields := o.Metrics.yields.WithLabelValues(kind)
	return &delivery{kind: kind, name: name, crew: c, max: d.MaxRequestBytes, run: t.run, track: t, metrics: o.Metrics,
		to: &paced{Exporter: d.Exporter, ctx: c.ctx, limits: l, busy: o.busy(name), yields: yields.Inc}}
}

// errNotSound is a record that cannot be sent for what it is.
var errNotSound = errors.New("the message is not sound")

// once ships a record, or what p says is left of it. retry is set, beside the
// error, when it is to be tried again, and after which wait if the destination
// asked for one; sent is set when anything of it was.
func (d *delivery) once(r *record.Record, p *ship.Progress, sent *atomic.Bool) (out ship.Outcome, retry bool, err error) {
	out, err = ship.Ship(d.crew.work, noting{d.to, sent}, r, ship.Options{MaxRequestBytes: d.max, Progress: p, Header: d.header})
	var e *exporter.Error
	switch {
	case err == nil:
		d.run.Trouble("")
		return out, false, nil
	case d.crew.ctx.Err() != nil:
		return out, false, context.Cause(d.crew.ctx)
	case errors.As(err, &e):
		if e.After > 0 {
			d.to.hold(e.After)
		}
		d.metrics.failures.WithLabelValues(d.kind).Inc()
		d.track.update(func(p *job.Progress) { p.Retries++ })
		d.run.Trouble(fmt.Sprintf("destination %s: %v; tried again", d.name, err))
		if failed := d.track.keep(false); failed != nil {
			return out, false, failed
		}
		return out, true, err
	}
	return out, false, fmt.Errorf("%w: %w", errNotSound, err)
}

// deliver ships a record, for ever while the destination says not now.
func (d *delivery) deliver(r *record.Record, sent *atomic.Bool) (dead []ship.Dead, p *ship.Progress, err error) {
	p = &ship.Progress{}
	for try := 1; ; try++ {
		out, retry, err := d.once(r, p, sent)
		if !retry {
			return out.Dead, p, err
		}
		if err := pause(d.crew.ctx, backoff(try)); err != nil {
			return nil, p, err
		}
	}
}

// insist does what must not fail until it succeeds.
func (d *delivery) insist(what string, do func(ctx context.Context) error) error {
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(d.crew.work, 30*time.Second)
		err := do(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if d.crew.work.Err() != nil {
			return context.Cause(d.crew.work)
		}
		d.run.Trouble(fmt.Sprintf("%s: %v; tried again", what, err))
		if err := pause(d.crew.ctx, backoff(try)); err != nil {
			return err
		}
	}
}

// outcomeOf a record of which the dead are known; raw is what of it was sent.
func outcomeOf(p *ship.Progress, dead []ship.Dead, raw uint64) (out outcome) {
	out.done.Items, out.rejected = uint64(p.Delivered()), uint64(p.Rejected())
	var lost uint64
	for i := range dead {
		out.dead.Items += uint64(dead[i].Record.Items)
		lost += uint64(dead[i].Record.RawBytes)
	}
	lost = min(lost, raw)
	out.dead.Bytes, out.done.Bytes = lost, raw-lost
	if len(dead) > 0 && p.Delivered() == 0 && p.Rejected() == 0 {
		out.dead.Messages = 1
	} else {
		out.done.Messages = 1
	}
	return out
}
