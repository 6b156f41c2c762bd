package alerter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// maxTenants bounds the tenants whose metrics are kept: each has a store of its own.
const maxTenants = 100

// lead is how far what is appended may be ahead of what is evaluated; points may be
// ahead of their message by as much as the engine allows.
const lead = promrules.MaxLead - 10*time.Minute

// EngineOptions are for the engines of all tenants.
type EngineOptions struct {
	// Options of each engine.
	promrules.Options
	// From is where the streams are read from, and so the first time that is evaluated.
	From    time.Time
	Metrics *Metrics
	Logger  *slog.Logger
}

// Engines are the rules and samples of each tenant. The nameless tenant has an engine
// from the beginning, so that its rules on what is absent are evaluated; another one
// gets its own with the first metric that a rule names. It implements intake.Sink.
type Engines struct {
	o EngineOptions

	mu       sync.Mutex
	files    []*promrules.File  // mu
	byTenant map[string]*engine // mu
	names    *promrules.Engine  // of no tenant; knows what rules read
	moved    chan struct{}      // mu; closed when an engine has evaluated more
	closed   bool               // mu
}

// engine is that of a tenant.
type engine struct {
	*promrules.Engine
	tenant string
	done   time.Time // Engines.mu; everything up to it is evaluated
}

var _ intake.Sink = (*Engines)(nil)

// NewEngines makes the engines of who has these rules. Close ends them.
func NewEngines(o EngineOptions, files []*promrules.File) (*Engines, error) {
	names, err := promrules.New(promrules.Options{Dir: o.Dir, MaxSeries: 1, Lookback: o.Lookback, Interval: o.Interval})
	if err != nil {
		return nil, fmt.Errorf("make a rule engine: %w", err)
	}
	e := &Engines{o: o, byTenant: map[string]*engine{}, names: names, moved: make(chan struct{})}
	if err = e.Load(files); err == nil {
		_, err = e.of("")
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Close ends all engines. Nothing else may be called then.
func (e *Engines) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	err := e.names.Close()
	for _, x := range e.byTenant {
		err = errors.Join(err, x.Close())
	}
	return err
}

// Load replaces the rules of all tenants. Of files that one engine does not take the
// others are not loaded: what is loaded first only knows names.
func (e *Engines) Load(files []*promrules.File) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.names.Load(files); err != nil {
		return err
	}
	e.files = files
	for _, x := range e.byTenant {
		if err := x.Load(files); err != nil {
			return fmt.Errorf("rules of tenant %q: %w", x.tenant, err)
		}
	}
	return nil
}

// Wants is that of intake.Options: every tenant has the same rules.
func (e *Engines) Wants(string) func(otlp.MetricHead) bool {
	return func(h otlp.MetricHead) bool {
		k := promrules.KindOf(h)
		return k != 0 && e.names.Wants(h.Name, h.Unit, k)
	}
}

// Append implements intake.Sink. It waits for the evaluator where that is too far
// behind, for the results of rules would be refused.
func (e *Engines) Append(ctx context.Context, tenant string, request []byte, storedAt time.Time) error {
	x, err := e.of(tenant)
	if err != nil {
		return err
	}
	if err := e.evaluated(ctx, x, storedAt.Add(-lead)); err != nil {
		return err
	}
	a, err := x.Engine.Append(ctx, request, storedAt)
	if errors.Is(err, promrules.ErrMalformed) {
		return fmt.Errorf("%w: %w", intake.ErrRefused, err)
	}
	if err == nil && a.Example != "" {
		e.o.Logger.Debug("alerts: samples were left out", "tenant", tenant, "samples", a.Left(), "example", a.Example)
	}
	return err
}

// of is the engine of a tenant.
func (e *Engines) of(tenant string) (*engine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.byTenant[tenant]; x != nil {
		return x, nil
	}
	if len(e.byTenant) >= maxTenants {
		e.o.Metrics.tenants.Inc()
		return nil, fmt.Errorf("%w: tenant %q would be one more than the %d whose metrics are kept for rules", intake.ErrRefused, tenant, maxTenants)
	}
	r, err := promrules.New(e.o.Options)
	if err != nil {
		return nil, fmt.Errorf("make the rule engine of tenant %q: %w", tenant, err)
	}
	if err := r.Load(e.files); err != nil {
		return nil, errors.Join(fmt.Errorf("rules of tenant %q: %w", tenant, err), r.Close())
	}
	x := &engine{Engine: r, tenant: tenant, done: e.o.From}
	e.byTenant[tenant] = x
	return x, nil
}

// all are the engines, by the names of their tenants.
func (e *Engines) all() []*engine {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*engine, 0, len(e.byTenant))
	for _, x := range e.byTenant {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *engine) int { return cmpText(a.tenant, b.tenant) })
	return list
}

// evaluated waits until an engine has evaluated everything up to t.
func (e *Engines) evaluated(ctx context.Context, x *engine, t time.Time) error {
	for {
		e.mu.Lock()
		done, moved := x.done, e.moved
		e.mu.Unlock()
		if !done.Before(t) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reached notes that an engine has evaluated everything up to t.
func (e *Engines) reached(x *engine, t time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.After(x.done) {
		x.done = t
		close(e.moved)
		e.moved = make(chan struct{})
	}
}

// Has tells whether a tenant has a group of rules.
func (e *Engines) Has(tenant, file, group string) bool {
	e.mu.Lock()
	x := e.byTenant[tenant]
	e.mu.Unlock()
	if x == nil {
		x = &engine{Engine: e.names} // as it would be, if it came
	}
	_, ok := x.Slot(promrules.GroupID{File: file, Group: group}, e.o.From)
	return ok
}
