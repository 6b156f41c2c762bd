package replay

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// Kinds of jobs.
const (
	KindReplay  = "replay"
	KindRedrive = "redrive"
)

// Marks of what is replayed.
const (
	MarkHeader    = "penstock-replay-job"
	MarkAttribute = "penstock.replay.job"
)

// Defaults and limits of a Spec.
const (
	DefaultRate        = 10 * config.MiB
	DefaultMargin      = config.Duration(time.Hour)
	DefaultConcurrency = 2

	minRate        = config.KiB
	maxConcurrency = 16
	maxWhere       = 100
	maxTenants     = 1000
)

// Spec says what is replayed, where to, and how fast. It is kept as JSON in the
// job.
type Spec struct {
	// Signals: traces, metrics, logs. Empty: all.
	Signals []string `json:"signals,omitempty" doc:"traces, metrics, logs; empty: all"`
	// Tenants; empty: all. "" among them is what has no tenant.
	Tenants []string `json:"tenants,omitempty" doc:"Tenants; empty: all"`
	// From and To are the window [From, To): by the queue's time of storing, or
	// with EventTime by that of the items. Zero: the oldest kept, and what is
	// stored when the job starts.
	From time.Time `json:"from,omitzero" doc:"Begin of the window, included; empty: the oldest data kept"`
	To   time.Time `json:"to,omitzero" doc:"End of the window, not included; empty: now"`
	// Stream, FromSeq and ToSeq are the window by sequence, both included, of one
	// stream, in place of From and To. ToSeq 0: the last one.
	Stream  string `json:"stream,omitempty" doc:"The one stream of a window by sequence"`
	FromSeq uint64 `json:"from_seq,omitempty" doc:"First sequence, included"`
	ToSeq   uint64 `json:"to_seq,omitempty" doc:"Last sequence, included; 0: the last one stored"`
	// EventTime takes the items whose own time is in the window, of what was
	// stored up to Margin before and after it.
	EventTime bool            `json:"event_time,omitempty" doc:"The window is of the items' own time"`
	Margin    config.Duration `json:"margin,omitempty" doc:"With event_time: how much later or earlier than its time an item may have been stored; 0: 1h"`
	// Where are conditions on resource attributes, of otlp.ParseCondition, all of
	// which must hold.
	Where []string `json:"where,omitempty" doc:"Conditions on resource attributes: key, key=value, key=a|b or key=~regexp; all must hold"`

	// Destination is a configured one; Target is any other.
	Destination string  `json:"destination,omitempty" doc:"Name of a configured destination"`
	Target      *Target `json:"target,omitempty" doc:"A destination of this job alone"`

	// Rate bounds bytes before compression a second. 0: DefaultRate.
	Rate config.ByteSize `json:"rate,omitempty" doc:"Bytes before compression a second; 0: 10MiB"`
	// Unlimited takes the bound away.
	Unlimited bool `json:"unlimited,omitempty" doc:"As fast as the destination takes it"`
	// ItemsRate bounds items a second; 0: no bound.
	ItemsRate int `json:"items_rate,omitempty" doc:"Items a second; 0: no bound"`
	// Concurrency is how many exports run at a time. 0: 2.
	Concurrency int `json:"concurrency,omitempty" doc:"Exports at a time; 0: 2"`

	// NoMarkHeader leaves out the header MarkHeader: <job>.
	NoMarkHeader bool `json:"no_mark_header,omitempty" doc:"Leave out the header penstock-replay-job"`
	// MarkAttribute sets the resource attribute MarkAttribute to the job.
	MarkAttribute bool `json:"mark_attribute,omitempty" doc:"Set the resource attribute penstock.replay.job"`
}

// Validate reports everything that is wrong with s, for people.
func (s *Spec) Validate() error {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for i, name := range s.Signals {
		_, err := otlp.ParseSignal(name)
		add(err != nil, "signals: %q: want traces, metrics or logs", name)
		add(slices.Contains(s.Signals[:i], name), "signals: %q is given twice", name)
	}
	add(len(s.Tenants) > maxTenants, "tenants: %d are too many, at most %d", len(s.Tenants), maxTenants)
	errs = append(errs, s.validateWindow()...)
	add(len(s.Where) > maxWhere, "where: %d conditions are too many, at most %d", len(s.Where), maxWhere)
	_, err := otlp.ParseConditions(s.Where)
	add(err != nil, "where: %w", err)
	switch {
	case s.Destination != "" && s.Target != nil:
		add(true, "destination and target: give one of them")
	case s.Target != nil:
		err := s.Target.Validate()
		add(err != nil, "target: %w", err)
	default:
		add(s.Destination == "", "destination: name a configured destination, or describe a target")
	}
	add(s.Rate < 0 || s.Rate > 0 && s.Rate < minRate, "rate: %s a second: want at least %s", s.Rate, minRate)
	add(s.Rate > 0 && s.Unlimited, "rate: %s a second and unlimited: give one of them", s.Rate)
	add(s.ItemsRate < 0, "items_rate: %d: want 0 or more", s.ItemsRate)
	add(s.Concurrency < 0 || s.Concurrency > maxConcurrency, "concurrency: %d: want 1 to %d", s.Concurrency, maxConcurrency)
	return errors.Join(errs...)
}

func (s *Spec) validateWindow() (errs []error) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bySequence := s.FromSeq != 0 || s.ToSeq != 0 || s.Stream != ""
	byTime := !s.From.IsZero() || !s.To.IsZero()
	add(bySequence && s.Stream == "", "stream: sequences are those of one stream: name it")
	add(s.Stream != "" && !isTelemetry(s.Stream), "stream: %q is no telemetry stream: want one such as PENSTOCK_TRACES_0", s.Stream)
	add(bySequence && len(s.Signals) > 0, "signals: the stream of a window by sequence has one: leave signals out")
	add(bySequence && (byTime || s.EventTime), "from, to: give a window by time or by sequence, not both")
	add(s.ToSeq != 0 && s.ToSeq < s.FromSeq, "to_seq: %d is before from_seq, which is %d", s.ToSeq, s.FromSeq)
	add(!s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To), "to: %s is not after from, which is %s", s.To.Format(time.RFC3339Nano), s.From.Format(time.RFC3339Nano))
	add(s.EventTime && !byTime, "event_time: give from or to")
	add(s.Margin < 0, "margin: %s: want 0s or more", s.Margin)
	add(s.Margin > 0 && !s.EventTime, "margin: %s has no use without event_time", s.Margin)
	return errs
}

// withDefaults fills in what is not said.
func (s Spec) withDefaults() Spec {
	if s.Rate == 0 && !s.Unlimited {
		s.Rate = DefaultRate
	}
	if s.EventTime && s.Margin == 0 {
		s.Margin = DefaultMargin
	}
	if s.Concurrency == 0 {
		s.Concurrency = DefaultConcurrency
	}
	return s
}

// stored is the window by time of storing; a zero end is open.
func (s *Spec) stored() (from, to time.Time) {
	from, to = s.From, s.To
	if s.EventTime {
		if !from.IsZero() {
			from = from.Add(-s.Margin.D())
		}
		if !to.IsZero() {
			to = to.Add(s.Margin.D())
		}
	}
	return from, to
}

// signals that are wanted.
func (s *Spec) signals() []otlp.Signal {
	var list []otlp.Signal
	for _, sig := range otlp.Signals {
		if len(s.Signals) == 0 || slices.Contains(s.Signals, sig.String()) {
			list = append(list, sig)
		}
	}
	return list
}

// filter is what Spec wants of the items of a message.
func (s *Spec) filter() (otlp.Filter, error) {
	conditions, err := otlp.ParseConditions(s.Where)
	if err != nil {
		return otlp.Filter{}, err
	}
	f := otlp.Filter{Resource: conditions}
	if s.EventTime {
		f.From, f.To = s.From, s.To
	}
	return f, nil
}
