package hindsight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// reader reads the history into engines. It is the sink of an intake.
type reader struct {
	o     *Options
	begin time.Time // what is read begins here
	// nameless: the tenant without a name is there from the beginning, as in the
	// alerter, so that its rules on what is absent are evaluated.
	nameless bool
	wants    func(tenant string, h otlp.MetricHead)
	// due is called with all locked, when everything stored up to a time has come.
	due func(ctx context.Context, upTo time.Time) error

	in     *intake.Intake
	cancel context.CancelCauseFunc

	probe *promrules.Engine // knows what the rules read, and has no samples

	mu      sync.Mutex // guards what follows, and lets one request at a time in
	tenants map[string]*tenant
	read    Read
	refused map[string]bool // tenants beyond the bound
}

// tenant is one of which something came that a rule names.
type tenant struct {
	e    *promrules.Engine
	born time.Time // when the queue stored that
	came bool      // something has
}

// lookEvery is how often it is looked whether the end is reached.
const lookEvery = 50 * time.Millisecond

// run reads from begin until Until. What it leaves in r.read is whole only without
// an error.
func (r *reader) run(ctx context.Context) error {
	outer := ctx
	r.tenants, r.refused = map[string]*tenant{}, map[string]bool{}
	r.read.Dropped = map[string]int{}
	streams, err := r.streams(ctx)
	if err != nil {
		return err
	}
	if r.probe, err = r.engine(); err != nil {
		return err
	}
	if r.nameless {
		if _, err := r.tenant("", r.begin); err != nil {
			return err
		}
	}
	r.in, err = intake.New(intake.Options{
		Source: r.o.Source, Streams: streams, From: r.begin, Sink: r, Logger: r.o.Logger, Metrics: intake.NewMetrics(prometheus.NewRegistry()),
		LookEvery: lookEvery,
		Wants:     r.wanted,
		Lost: func(stream string, from, to uint64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.read.note("%s: %d messages were purged before they could be read", stream, to-from)
		},
	})
	if err != nil {
		return err
	}
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	done := make(chan error, 1)
	go func() { done <- r.in.Run(ctx) }()
	err = r.watch(ctx, done)
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, errEnd) {
		err = cause
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.due(outer, r.o.Until); err != nil {
		return err
	}
	r.tell(r.o.Until)
	return nil
}

// errEnd says that the end was reached.
var errEnd = errors.New("everything is read")

// watch ends the reading when everything up to Until has come, and waits for that.
func (r *reader) watch(ctx context.Context, done <-chan error) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-t.C:
			at := r.in.Watermark()
			if !at.Before(r.o.Until) {
				r.cancel(errEnd)
				continue
			}
			r.mu.Lock()
			r.tell(at)
			r.mu.Unlock()
		}
	}
}

// tell is called with mu held.
func (r *reader) tell(at time.Time) {
	if r.o.Tell != nil {
		if at.IsZero() {
			at = r.begin
		}
		r.o.Tell(Progress{From: r.begin, At: at, Until: r.o.Until, Samples: r.read.Samples})
	}
}

// streams leaves out those that are not there, and says what the others no longer
// have.
func (r *reader) streams(ctx context.Context) (list []string, err error) {
	for _, name := range r.o.Streams {
		st, err := r.o.Source.StreamState(ctx, name)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			r.read.note("%s is not there", name)
			continue
		case err != nil:
			return nil, fmt.Errorf("look at stream %s: %w", name, err)
		}
		first := st.FirstTime
		if st.Messages == 0 {
			first = st.LastTime
		}
		if st.FirstSeq > 1 && first.After(r.begin) {
			what := "what the rules look back on"
			if first.After(r.o.From) {
				what = "all that was asked for"
			}
			r.read.note("%s has nothing stored before %s, and so not %s: retention.replay_window is how long it keeps what was exported", name, first.UTC().Format(time.RFC3339), what)
		}
		list = append(list, name)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("none of the streams %v is in the queue: has a gateway been there, and is queue.shards that of the gateway?", r.o.Streams)
	}
	return list, nil
}

// wanted is the intake's Wants.
func (r *reader) wanted(tenant string) func(otlp.MetricHead) bool {
	return func(h otlp.MetricHead) bool {
		if r.wants != nil {
			r.wants(tenant, h)
		}
		return r.probe.Wants(h.Name, h.Unit, promrules.KindOf(h))
	}
}

// engine makes one with the rules.
func (r *reader) engine() (*promrules.Engine, error) {
	e, err := promrules.New(r.o.Engine)
	if err != nil {
		return nil, err
	}
	if err := e.Load(r.o.Files); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// tenant finds or makes one; nil for one beyond the bound. mu is held.
func (r *reader) tenant(name string, storedAt time.Time) (*tenant, error) {
	if t := r.tenants[name]; t != nil || r.refused[name] {
		return t, nil
	}
	if len(r.tenants) >= r.o.MaxTenants {
		if len(r.refused) == 0 {
			r.read.note("more than %d tenants: the others are left out", r.o.MaxTenants)
		}
		if len(r.refused) < maxRefused {
			r.refused[name] = true
		}
		return nil, nil
	}
	e, err := r.engine()
	if err != nil {
		return nil, err
	}
	t := &tenant{e: e, born: storedAt}
	r.tenants[name] = t
	return t, nil
}

// maxRefused bounds what is remembered of tenants beyond the bound.
const maxRefused = 10_000

// Append implements intake.Sink. An error ends everything.
func (r *reader) Append(ctx context.Context, name string, request []byte, storedAt time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if storedAt.After(r.o.Until) {
		return nil
	}
	err := r.append(ctx, name, request, storedAt)
	if err != nil && ctx.Err() == nil && !errors.Is(err, intake.ErrRefused) {
		r.cancel(err)
		return ctx.Err()
	}
	return err
}

// append is called with mu held.
func (r *reader) append(ctx context.Context, name string, request []byte, storedAt time.Time) error {
	if err := r.due(ctx, r.in.Watermark()); err != nil {
		return err
	}
	t, err := r.tenant(name, storedAt)
	if t == nil || err != nil {
		return err
	}
	t.came = true
	said, err := t.e.Append(ctx, request, storedAt)
	r.read.Samples += said.Samples
	for reason, n := range said.Dropped {
		if n > 0 {
			r.read.Dropped[promrules.Reason(reason).String()] += n
		}
	}
	if errors.Is(err, promrules.ErrMalformed) {
		return fmt.Errorf("%w: %w", intake.ErrRefused, err)
	}
	return err
}

// names are the tenants of which something came.
func (r *reader) names() []string {
	list := []string{}
	for name, t := range r.tenants {
		if t.came {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// close ends the engines.
func (r *reader) close() (err error) {
	if r.probe != nil {
		err = r.probe.Close()
	}
	for _, t := range r.tenants {
		err = errors.Join(err, t.e.Close())
	}
	return err
}
