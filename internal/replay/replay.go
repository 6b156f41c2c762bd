package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Handler runs replays. It implements job.Handler.
type Handler struct{ o Options }

// NewHandler makes the handler of KindReplay.
func NewHandler(o Options) *Handler { return &Handler{o} }

// Handlers are those of this package, by kind.
func Handlers(o Options) map[string]job.Handler {
	return map[string]job.Handler{KindReplay: NewHandler(o), KindRedrive: NewRedriver(o)}
}

// Can implements job.Handler.
func (h *Handler) Can(j *job.Job) (bool, string) {
	var s Spec
	if err := json.Unmarshal(j.Spec, &s); err != nil {
		return false, fmt.Sprintf("the spec cannot be read: %v; upgrade the workers", err)
	}
	if s.Target != nil {
		if h.o.Open == nil {
			return false, errNoTargets.Error()
		}
		return true, ""
	}
	return h.o.knows(s.Destination)
}

// knows tells whether a destination is configured here.
func (o *Options) knows(name string) (bool, string) {
	if _, ok := o.Destinations[name]; !ok {
		return false, fmt.Sprintf("no worker with destination %q is seen; those of a worker that looked: %q", name, slices.Sorted(maps.Keys(o.Destinations)))
	}
	return true, ""
}

// replaying is one run of a replay.
type replaying struct {
	o      *Options
	s      Spec
	filter otlp.Filter
	track  *tracker
	crew   *crew
	to     *delivery
	id     string
}

// Run implements job.Handler.
func (h *Handler) Run(ctx context.Context, run *job.Run) (err error) {
	j := run.Job()
	x := &replaying{o: &h.o, id: j.ID, track: &tracker{run: run, holds: true}}
	if err := json.Unmarshal(j.Spec, &x.s); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	if err := x.s.Validate(); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	x.s = x.s.withDefaults()
	if x.filter, err = x.s.filter(); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	name, d, done, err := h.o.destination(&x.s, j.ID)
	if err != nil {
		return err
	}
	defer done(&err)
	resumed, err := x.track.load(j)
	if err != nil {
		return err
	}
	if !resumed {
		if err := x.resolve(ctx, slices.Sorted(maps.Keys(j.Hold))); err != nil {
			return err
		}
	}
	x.crew = newCrew(ctx, x.s.Concurrency)
	defer x.crew.close()
	x.to = newDelivery(KindReplay, name, x.o, x.crew, x.track, d, newLimits(&x.s))
	if !x.s.NoMarkHeader {
		x.to.header = []exporter.Header{{Name: MarkHeader, Value: j.ID}}
	}
	for i := range x.track.cp.Points {
		if err := x.stream(i); err != nil {
			return err
		}
	}
	return nil
}

// destination of a job; done closes what was opened for it.
func (o *Options) destination(s *Spec, id string) (name string, d Destination, done func(*error), err error) {
	if s.Target == nil {
		d, ok := o.Destinations[s.Destination]
		if !ok {
			return "", d, nil, job.Again(fmt.Errorf("destination %q is not configured here", s.Destination))
		}
		return s.Destination, d, func(*error) {}, nil
	}
	if o.Open == nil {
		return "", d, nil, job.Again(errNoTargets)
	}
	name = "job-" + id
	if d, err = o.Open(name, s.Target); err != nil {
		return "", d, nil, fmt.Errorf("target %s: %w", s.Target.Endpoint, err)
	}
	return name, d, func(err *error) {
		if failed := d.Exporter.Close(); failed != nil {
			*err = errors.Join(*err, fmt.Errorf("close target %s: %w", s.Target.Endpoint, failed))
		}
	}, nil
}

// resolve makes the points, once for the life of the job, and stores them before
// anything is read.
func (x *replaying) resolve(ctx context.Context, streams []string) error {
	c := counter{s: &x.s, left: countMessages, until: time.Now().Add(countTime), streams: len(streams)}
	for _, name := range streams {
		w, err := x.s.resolve(ctx, x.o.Queue, name)
		if err != nil {
			return again(ctx, err)
		}
		sp, err := c.count(ctx, x.o.Queue, w)
		if err != nil {
			return again(ctx, err)
		}
		x.track.cp.Points = append(x.track.cp.Points, point{Stream: name, First: w.First, End: w.End, Next: w.First, Ahead: w.First})
		total := &x.track.progress.Total
		total.Add(job.Amount{Messages: w.End - w.First + w.missing, Items: sp.Window.Items, Bytes: sp.Window.RawBytes})
		x.track.progress.Estimated = x.track.progress.Estimated || sp.Estimated
		x.track.progress.Missing.Messages += w.missing
		if text := w.gap(); text != "" {
			x.track.run.Note("%s", text)
		}
	}
	return x.track.save(ctx)
}

// again marks trouble with the queue, which passes; a stream that is gone does
// not come back.
func again(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, queue.ErrNotFound):
		return err
	}
	return job.Again(err)
}

// stream replays one stream.
func (x *replaying) stream(i int) error {
	p := x.track.cp.Points[i]
	if p.Next >= p.End {
		return nil
	}
	x.track.enter(i)
	err := x.read(p)
	if err != nil {
		x.crew.fail(err) // else steps might go on for ever
	}
	err = x.crew.wait()
	if failed := x.track.leave(err == nil); failed != nil {
		err = errors.Join(err, failed)
	}
	return err
}

// read begins everything of a stream that is wanted.
func (x *replaying) read(p point) error {
	r, err := newReader(x.crew.ctx, x.o.Queue, p.Stream, p.Next, p.End, false, func(from, to uint64) error {
		x.track.run.Note("%s: messages %d to %d were purged before the replay came to them", p.Stream, from, to-1)
		return x.passed(to-1, outcome{missing: job.Amount{Messages: to - from}})
	})
	if err != nil {
		return again(x.crew.ctx, err)
	}
	defer r.close()
	for {
		e, err := r.read(x.crew.ctx)
		switch {
		case errors.Is(err, errEnd):
			return nil
		case err != nil:
			return again(x.crew.ctx, err)
		}
		if err := x.message(p.Stream, e); err != nil {
			return err
		}
		for x.track.full() {
			if err := pause(x.crew.ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// message decides about one and begins to send it.
func (x *replaying) message(stream string, e queue.Entry) error {
	m, whole := metaOf(e.Message)
	size := job.Amount{Messages: 1, Items: m.items, Bytes: m.raw}
	r, err := record.Decode(e.Message)
	switch {
	case errors.Is(err, record.ErrNewer):
		return job.Again(fmt.Errorf("message %d of %s: %w", e.Sequence, stream, err))
	case err != nil:
		return x.damaged(stream, e.Sequence, size, err)
	case !x.s.wants(m):
		return x.passed(e.Sequence, outcome{skipped: size})
	}
	r.Body = slices.Clone(r.Body) // it outlives the reader's next message
	origin := deadletter.Origin{Stream: stream, Sequence: e.Sequence, ID: r.ID, StoredAt: e.StoredAt}
	step, err := x.track.begin(x.crew.ctx, e.Sequence)
	if err != nil {
		return err
	}
	return x.crew.do(func() error {
		out, err := x.send(r, origin, size, whole && x.s.whole(m), &step.sent)
		if errors.Is(err, errNotSound) {
			x.track.run.Note("%s: message %d is left out: %v", stream, e.Sequence, err)
			out, err = outcome{damaged: size}, nil
		}
		if err != nil {
			return err
		}
		x.o.Metrics.count(KindReplay, out)
		return x.track.end(step, out)
	})
}

func (x *replaying) passed(seq uint64, out outcome) error {
	x.o.Metrics.count(KindReplay, out)
	return x.track.pass(seq, out)
}

// damaged leaves out a message that cannot be read. Its lanes dead-letter it.
func (x *replaying) damaged(stream string, seq uint64, size job.Amount, why error) error {
	x.track.run.Note("%s: message %d is left out: %v", stream, seq, why)
	return x.passed(seq, outcome{damaged: size})
}

// send filters, exports and, what will never be taken, buries. whole: all of its
// items are in the window.
func (x *replaying) send(r *record.Record, origin deadletter.Origin, size job.Amount, whole bool, sent *atomic.Bool) (outcome, error) {
	wanted, skipped, err := x.cut(r, whole)
	if err != nil {
		return outcome{}, err
	}
	if wanted.Items == 0 && skipped.Items > 0 {
		return outcome{skipped: size}, nil
	}
	dead, p, err := x.to.deliver(wanted, sent)
	if err != nil {
		return outcome{}, err
	}
	origin.Attempts = 1
	for i := range dead {
		if err := x.bury(&dead[i], origin); err != nil {
			return outcome{}, err
		}
	}
	out := outcomeOf(p, dead, uint64(wanted.RawBytes))
	out.skipped = skipped
	return out, nil
}

// cut takes what the filter wants of a record and marks it. skipped is the rest.
func (x *replaying) cut(r *record.Record, whole bool) (*record.Record, job.Amount, error) {
	var skipped job.Amount
	f := x.filter
	if whole {
		f.From, f.To = time.Time{}, time.Time{}
	}
	if f.Everything() && !x.s.MarkAttribute {
		return r, skipped, nil
	}
	raw, err := codec.Decode(nil, r.Codec, r.Body, r.RawBytes)
	if err != nil {
		return nil, skipped, fmt.Errorf("%w: %w", errNotSound, err)
	}
	body, info, err := f.Apply(r.Signal, nil, raw)
	if err != nil {
		return nil, skipped, fmt.Errorf("%w: %w", errNotSound, err)
	}
	out := *r
	out.Codec, out.Items, out.MinTime, out.MaxTime = codec.None, info.Items, info.MinTime, info.MaxTime
	if info.Items < r.Items {
		skipped.Items, skipped.Bytes = uint64(r.Items-info.Items), uint64(max(0, len(raw)-len(body)))
	}
	if x.s.MarkAttribute {
		body = otlp.AddResourceAttribute(r.Signal, nil, body, MarkAttribute, x.id)
	}
	out.Body, out.RawBytes = body, len(body)
	return &out, skipped, nil
}

// MarkPart begins the part of a letter that a replay wrote: the message is not
// one that its live lane gave up. With a filter, the items of it are counted in
// what the filter took.
const MarkPart = "replay-"

// longPart is how long the name of a part may be to be made longer: the
// dead-letter stream keeps 64 bytes, and cuts off what would tell two apart.
const longPart = 40

// markPart shortens the name of a part.
func markPart(part string) string {
	if len(part) <= longPart {
		return part
	}
	return fmt.Sprintf("%s%08x", MarkPart, codec.Checksum([]byte(part)))
}

// bury moves what the destination will never take to the dead-letter stream.
func (x *replaying) bury(d *ship.Dead, origin deadletter.Origin) error {
	part := markPart(MarkPart + x.id)
	if !d.Whole {
		part = d.Part(part)
	}
	l := deadletter.Letter{Reason: d.Reason.Reason, Code: d.Code, Detail: "replay " + x.id + ": " + d.Detail, Destination: x.to.name}
	return x.to.insist("dead letter", func(ctx context.Context) error {
		return deadletter.Publish(ctx, x.o.Queue, topology.DeadLetters, origin, d.Record, part, l)
	})
}
