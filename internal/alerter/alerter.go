package alerter

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/internal/alerter/amapi"
	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/ampush"
	"github.com/penstock-otel/penstock/internal/alerter/deliver"
	"github.com/penstock-otel/penstock/internal/alerter/heartbeat"
	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/alerter/journal"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Queue is what an alerter needs of one.
type Queue interface {
	journal.Queue
	intake.Source
	queue.Leaser
}

// AllMetrics are those of every part.
type AllMetrics struct {
	own     *Metrics
	rules   *promrules.Metrics
	intake  *intake.Metrics
	journal *journal.Metrics
	deliver *deliver.Metrics
	api     *amapi.Metrics
	push    *ampush.Metrics
	beat    *heartbeat.Metrics
}

// NewAllMetrics registers the metrics.
func NewAllMetrics(reg prometheus.Registerer) *AllMetrics {
	return &AllMetrics{NewMetrics(reg), promrules.NewMetrics(reg), intake.NewMetrics(reg), journal.NewMetrics(reg), deliver.NewMetrics(reg),
		amapi.NewMetrics(reg), ampush.NewMetrics(reg), heartbeat.NewMetrics(reg)}
}

// Options of an Alerter.
type Options struct {
	Config alerting.Config
	Queue  Queue
	// Streams of metrics.
	Streams []string
	// Claims are shared by all replicas; nil: there is no such store.
	Claims alerts.Claims
	// Holder is unique to this process; Rank is its place among the alerters that live.
	Holder string
	Rank   func() int
	// Links acknowledge incidents; nil: there are none.
	Links   *alerting.Links
	Metrics *AllMetrics
	Logger  *slog.Logger
	// TLSFiles are told which files of certificates are in use; nil: nobody is.
	TLSFiles *config.TLSFiles
}

// Alerter is one replica: an alerting.Alerter.
type Alerter struct {
	o      Options
	since  time.Time // slots before it are evaluated, and not told
	keeps  time.Duration
	state  *alerts.State
	record *journal.Journal
	store  io.Closer // of the claims; nil: there is none
	files  atomic.Pointer[loaded]

	engines   *Engines
	intake    *intake.Intake
	lead      *Lead
	router    *Router
	deliver   *deliver.Deliverer
	teller    *Teller
	escalator *Escalator
	evaluator *Evaluator
	others    *others
}

// loaded is what the files of a configuration say.
type loaded struct {
	rules    []*promrules.File
	notify   *amnotify.Config
	policies *Policies
	print    [sha256.Size]byte // of the configuration and the content of the files
}

// lookback is Prometheus' own: how long a sample stands for its series.
const lookback = 5 * time.Minute

// keepsLeast is how far back samples are kept whatever rules look back on, so that
// rules that come later find some.
const keepsLeast = time.Hour

// stopWithin bounds the end of what is being sent.
const stopWithin = 30 * time.Second

// New reads the files of a configuration and makes all parts. Run has them work;
// Close ends them.
func New(o Options) (a *Alerter, err error) {
	files, err := load(o.Config, o.Logger)
	if err != nil {
		return nil, err
	}
	a = &Alerter{o: o, since: time.Now(), state: alerts.NewState()}
	a.files.Store(files)
	warmup := a.warmup()
	a.keeps = max(keepsLeast, warmup)
	from := a.since.Add(-warmup)
	if a.engines, err = NewEngines(EngineOptions{From: from, Metrics: o.Metrics.own, Logger: o.Logger, Options: promrules.Options{
		MaxSeries: o.Config.MaxSeries, Retention: a.keeps, Lookback: lookback, ExternalURL: o.Config.ExternalURL,
		PromoteResourceAttributes: o.Config.Promote, Logger: slog.New(warnings{o.Logger.Handler()}), Metrics: o.Metrics.rules}}, files.rules); err != nil {
		return nil, err
	}
	if a.intake, err = intake.New(intake.Options{Source: o.Queue, Streams: o.Streams, From: from, Wants: a.engines.Wants, Sink: a.engines, Metrics: o.Metrics.intake, Logger: o.Logger}); err != nil {
		return nil, errors.Join(err, a.engines.Close())
	}
	a.record = journal.New(o.Queue, journal.Options{Config: o.Config.History, State: a.state, Metrics: o.Metrics.journal, Logger: o.Logger})
	a.lead = NewLead(o.Queue, o.Holder, o.Logger)
	made := make(chan struct{})
	look := func(k alerts.ClaimKey) { <-made; a.deliver.Look(k) }
	a.router = NewRouter(RouterOptions{Config: files.notify, State: a.state, Look: look, Links: o.Links, Logger: o.Logger})
	a.deliver = deliver.New(deliver.Options{Claims: o.Claims, Log: a.record, State: a.state, Group: a.router.Group, Send: a.router.Send,
		Final: func(err error) bool { return errors.Is(err, amnotify.ErrPermanent) }, Rank: o.Rank,
		FailOpen: alerts.Severity(o.Config.Redis.FailOpenSeverity), Metrics: o.Metrics.deliver, Logger: o.Logger})
	close(made)
	a.teller = NewTeller(TellerOptions{Log: a.record, State: a.state, Leads: a.lead.Leads, PolicyOf: a.PolicyOf, Metrics: o.Metrics.own, Logger: o.Logger})
	a.escalator = NewEscalator(EscalatorOptions{Log: a.record, State: a.state, Router: a.router, Leads: a.lead.Leads, Look: look, Metrics: o.Metrics.own, Logger: o.Logger})
	a.evaluator = NewEvaluator(EvaluatorOptions{Engines: a.engines, Watermark: a.intake.Watermark, Offset: time.Duration(o.Config.QueryOffset), Since: a.since,
		Tell: a.teller.Tell, Metrics: o.Metrics.own, Logger: o.Logger})
	if a.others, err = a.newOthers(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	o.Logger.Info("alerts: rules are loaded", "files", len(files.rules), "reads_back", warmup)
	return a, nil
}

// warmup is how far back the streams are read.
func (a *Alerter) warmup() time.Duration {
	if w, err := a.o.Config.ReadsBack(); err == nil && w > 0 { // it was validated
		return w
	}
	return promrules.NeedsOf(a.files.Load().rules, lookback).Range
}

// Close implements alerting.Alerter. It ends all that Run has not ended.
func (a *Alerter) Close() error {
	a.escalator.Close()
	a.teller.Close()
	within, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	err := a.deliver.Stop(within)
	a.router.Close()
	err = errors.Join(err, a.engines.Close())
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	return err
}

// Run implements alerting.Alerter: it reads, evaluates, tells and escalates.
func (a *Alerter) Run(ctx context.Context) (err error) {
	following, unfollow := context.WithCancel(context.WithoutCancel(ctx)) // to the end: what is sent is written
	var follows sync.WaitGroup
	follows.Go(func() {
		if err := a.record.Follow(following, 0, func(e alerts.Entry) error { a.state.Apply(e); return nil }); err != nil {
			a.o.Logger.Error("BUG: the log of alerts is followed no more", "error", err)
		}
	})
	defer follows.Wait()
	defer unfollow()
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = errors.Join(err, a.deliver.Stop(within))
	}()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.intake.Run(ctx) })
	g.Go(func() error { return a.evaluator.Run(ctx) })
	g.Go(func() error { return a.router.Run(ctx) })
	g.Go(func() error { return a.escalator.Run(ctx) })
	g.Go(func() error { a.lead.Run(ctx); return nil })
	g.Go(func() error { a.tidy(ctx, a.record.Tidier()); return nil })
	a.others.run(ctx, g.Go)
	return g.Wait()
}

// tidyEvery is the pace of what the replica that tells does beside telling.
const tidyEvery = 5 * time.Second

// tidy ends the alerts of rules that are gone, and keeps the log within its bounds.
func (a *Alerter) tidy(ctx context.Context, t *journal.Tidier) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !a.lead.Leads() || !a.state.CaughtUp() {
			continue
		}
		if w := a.intake.Watermark(); !w.Before(a.since) { // it evaluates the present
			if err := a.teller.Gone(ctx, a.engines.Has, w); err != nil {
				a.o.Logger.Warn("alerts: those of rules that are gone are not resolved yet", "error", err)
			}
		}
		t.Round(ctx)
	}
}
