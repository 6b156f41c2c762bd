package alerting

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Make makes the alerter of a process; package alerter has it.
type Make func(Options) (Alerter, error)

// Options of an Alerter.
type Options struct {
	Config Config
	Queue  queue.Queue
	// Streams of metrics.
	Streams []string
	// Holder is unique to this process; Rank is its place among the alerters that
	// live, from 0: without a store that they share the first one sends first.
	Holder string
	Rank   func() int
	// Links in notifications; nil: there are none.
	Links    *Links
	TLSFiles *config.TLSFiles
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Alerter evaluates rules and has people told. Safe for concurrent use.
type Alerter interface {
	Service
	// Run works until ctx ends, and then lets what is being sent end. An error is
	// one that a restart may cure.
	Run(ctx context.Context) error
	// Prepare reads the files of a configuration again. Nothing has changed before
	// apply is called, which cannot fail; nil: they say what they said.
	Prepare(c Config) (apply func(), err error)
	// Ready is nil when it knows what fires and evaluates the present.
	Ready(ctx context.Context) error
	// Close gives up what New took. Run has ended, or was never called.
	Close() error
}

// Service is what an admin API asks of an alerter.
type Service interface {
	// State is what is known of alerts now, kept up with Log.
	State() *alerts.State
	Log() alerts.Log
	// History gives the events since a time, the oldest first, with the position and
	// the time of storing of their entry, until give fails (its error) or all that
	// there was when it began is given. Less than asked for is there where the
	// stream was tidied.
	History(ctx context.Context, since time.Time, give func(at uint64, storedAt time.Time, e *alerts.Event) error) error
	// Matcher makes a filter of matchers in the syntax of Alertmanager, all of which
	// have to match.
	Matcher(matchers []string) (func(alerts.Labels) bool, error)
	// Muted says what keeps notifications of an alert back: silence/ID, inhibited,
	// and the names of time intervals. Empty: nothing.
	Muted(ctx context.Context, a *alerts.Alert) []string
	// Receivers are the names of alertmanager.yml, ReceiversOf those to which its
	// routes lead an alert.
	Receivers() []string
	ReceiversOf(l alerts.Labels) []string
	// PolicyOf is the escalation policy that a new incident of an alert would get.
	PolicyOf(tenant string, l alerts.Labels) alerts.Policy
	// Status says how evaluating goes.
	Status() Status
	// Alertmanager answers below /api/v2 as Alertmanager does. The front guards it: what
	// reads wants a viewer, all else an operator.
	Alertmanager(Front) http.Handler
}

// Status of an alerter.
type Status struct {
	Rules     []Group   `json:"rules,omitempty" doc:"Groups of rules; absent: none."`
	Tells     bool      `json:"tells" doc:"This replica writes what evaluations change."`
	CaughtUp  bool      `json:"caught_up" doc:"It knows all that the log of alerts has."`
	Watermark time.Time `json:"watermark,omitzero" doc:"All that was stored before it has been read."`
	Tenants   int       `json:"tenants" doc:"Whose metrics are kept."`
	Store     string    `json:"store" doc:"Where replicas agree on who sends: redis, or none, and then they go by rank and the log of alerts."`
	StoreErr  string    `json:"store_error,omitempty" doc:"Why the store does not answer."`
}

// Group of rules.
type Group struct {
	File     string  `json:"file"`
	Name     string  `json:"name"`
	Interval float64 `json:"interval_seconds"`
	Rules    []Rule  `json:"rules"`
}

// Rule of a group, as it was written or made of the short form.
type Rule struct {
	Name     string  `json:"name"`
	Alerting bool    `json:"alerting" doc:"false: it records."`
	Expr     string  `json:"expr" doc:"PromQL."`
	For      float64 `json:"for_seconds,omitempty"`
}

// PushedHeader is of requests that push alerts to others: an alerter that gets one
// pushes what is in it no further.
const PushedHeader = "Penstock-Pushed"
