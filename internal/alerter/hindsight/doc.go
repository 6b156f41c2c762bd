// Package hindsight asks the queue's own history about rules: what would have
// fired (Try), and whether they fit what comes (Check). Nobody is told of anything,
// and nothing of the queue is changed.
//
//	metric streams ──intake──▶ sink ──▶ promrules.Engine of each tenant
//	                            │               ▲
//	                            └─before each───┘ slots up to the watermark
//
// # Guarantees
//
//   - Time is the data's. A slot is evaluated when everything that was stored up to
//     it and the query offset has come, and before what was stored later is taken:
//     an alert has the times that it would have had. The same history gives the
//     same alerts, as far as values are not made from deltas.
//   - What the rules look back on is read before what was asked for, if the queue
//     still has it; what it has not is said.
//   - Memory is bounded: tenants, series of each, alerts that are told.
package hindsight

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

// Options of both.
type Options struct {
	// Source is read from, and Streams are those of metrics; one that is not there
	// is left out and told.
	Source  intake.Source
	Streams []string
	Files   []*promrules.File
	// From and Until bound what is asked for, by the time at which the queue stored
	// it; Until is not later than now.
	From, Until time.Time
	// QueryOffset is how long after a slot its data may come. 0: 5 s.
	QueryOffset time.Duration
	// Engine are the options of each tenant's engine.
	Engine promrules.Options
	// MaxTenants bounds the tenants. 0: 100.
	MaxTenants int
	// Tell is called now and then from one goroutine; nil: not.
	Tell   func(Progress)
	Logger *slog.Logger // nil: nothing is logged
}

// Progress is how far it is.
type Progress struct {
	From, At, Until time.Time
	Samples         int
}

// Ratio is the part that is done.
func (p Progress) Ratio() float64 {
	all := p.Until.Sub(p.From)
	if all <= 0 {
		return 1
	}
	return min(1, max(0, p.At.Sub(p.From).Seconds()/all.Seconds()))
}

func (o *Options) fill() error {
	switch {
	case o.Source == nil:
		return errors.New("hindsight: a source is required")
	case len(o.Files) == 0:
		return errors.New("there are no rules to ask about")
	case o.From.IsZero() || !o.Until.After(o.From):
		return fmt.Errorf("it is asked for what was stored from %s until %s: want a time and a later one", o.From.Format(time.RFC3339), o.Until.Format(time.RFC3339))
	}
	if o.QueryOffset == 0 {
		o.QueryOffset = 5 * time.Second
	}
	if o.MaxTenants == 0 {
		o.MaxTenants = 100
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Read is what was read.
type Read struct {
	Tenants []string `json:"tenants"`
	Samples int      `json:"samples"`
	// Dropped are samples that rules name and that were left out, by reason.
	Dropped map[string]int `json:"dropped,omitempty"`
	// Notes are what stands between this and what would have been.
	Notes []string `json:"notes,omitempty"`
}

func (r *Read) note(format string, a ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, a...)) }
