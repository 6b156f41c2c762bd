package alerter

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// TellerOptions are what a Teller works with.
type TellerOptions struct {
	Log   alerts.Log
	State *alerts.State // kept up with Log by its owner
	// Leads tells whether this replica is the one that tells.
	Leads func() bool
	// PolicyOf chooses the policy of an incident.
	PolicyOf alerts.PolicyOf
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Teller writes what evaluations change into the log, in one replica of all.
// Correctness does not hang on that: an evaluation from before what was last told
// changes nothing.
type Teller struct {
	o    TellerOptions
	said *app.Repeat
}

// sayEvery is the interval between two lines about the same trouble.
const sayEvery = time.Minute

// NewTeller makes one. Close it.
func NewTeller(o TellerOptions) *Teller { return &Teller{o, app.NewRepeat(o.Logger, sayEvery)} }

// Close says what of the log is still held back.
func (t *Teller) Close() { t.said.Stop() }

// writeWithin bounds the wait for the log; what could not be written the next
// evaluation finds again.
const writeWithin = 10 * time.Second

// Tell writes what an evaluation changes. What the log does not take is told to the
// operator and not to the caller: the next slot says it again.
func (t *Teller) Tell(ctx context.Context, e alerts.Evaluation) error {
	if !t.o.Leads() {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	_, err := alerts.Do(within, t.o.Log, t.o.State, func() ([]alerts.Event, error) {
		return t.o.State.Transitions(e, t.o.PolicyOf, time.Now()), nil
	})
	if err == nil || ctx.Err() != nil {
		return nil
	}
	t.o.Metrics.untold.Inc()
	what := "the log of alerts is not there: what was found is told when it is"
	if errors.Is(err, alerts.ErrFull) {
		what = "the log of alerts is full: alerts are told when it has been tidied; raise its size or lower history.retention"
	}
	t.said.Warn("log", what, "tenant", e.Tenant, "group", e.Group, "slot", e.At, "error", err)
	return nil
}

// Gone resolves the alerts of groups that no rules have any more, at a slot of now.
func (t *Teller) Gone(ctx context.Context, has func(tenant, file, group string) bool, at time.Time) error {
	for _, e := range t.o.State.Sources() {
		if has(e.Tenant, e.File, e.Group) {
			continue
		}
		e.At = at
		if err := t.Tell(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
