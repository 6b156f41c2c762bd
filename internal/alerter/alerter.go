package alerter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/deliver"
	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/alerter/journal"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/alerting"
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
}

// NewAllMetrics registers the metrics.
func NewAllMetrics(reg prometheus.Registerer) *AllMetrics {
	return &AllMetrics{NewMetrics(reg), promrules.NewMetrics(reg), intake.NewMetrics(reg), journal.NewMetrics(reg), deliver.NewMetrics(reg)}
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
	Holder  string
	Rank    func() int
	Metrics *AllMetrics
	Logger  *slog.Logger
}

// Alerter is one replica.
type Alerter struct {
	o        Options
	files    []*promrules.File
	notify   *amnotify.Config
	policies *Policies
	state    *alerts.State
}

// lookback is Prometheus' own: how long a sample stands for its series.
const lookback = 5 * time.Minute

// stopWithin bounds the end of what is being sent.
const stopWithin = 30 * time.Second

// New reads the files of a configuration. Run does the rest.
func New(o Options) (*Alerter, error) {
	a := &Alerter{o: o, state: alerts.NewState()}
	external, err := url.Parse(o.Config.ExternalURL)
	if err != nil {
		return nil, fmt.Errorf("alerter.external_url: %w", err)
	}
	files, err := LoadRules(o.Config.Rules)
	if a.files = files; err != nil {
		return nil, fmt.Errorf("alerter.rules: %w", err)
	}
	if o.Config.Alertmanager == "" {
		a.notify, err = amnotify.Default(external, o.Logger)
	} else {
		a.notify, err = amnotify.Load(o.Config.Alertmanager, external)
	}
	if err != nil {
		return nil, fmt.Errorf("alerter.alertmanager: %w", err)
	}
	if a.policies, err = LoadPolicies(o.Config.Escalation, a.notify); err != nil {
		return nil, fmt.Errorf("alerter.escalation: %w", err)
	}
	return a, nil
}

// State is what is known of alerts now.
func (a *Alerter) State() *alerts.State { return a.state }

// warmup is how far back the streams are read.
func (a *Alerter) warmup() time.Duration {
	if w := time.Duration(a.o.Config.Warmup); w > 0 {
		return w
	}
	return promrules.NeedsOf(a.files, lookback).Range
}

// Run reads, evaluates, tells and escalates until ctx ends, and then lets what is
// being sent end. An error is one that a restart may cure.
func (a *Alerter) Run(ctx context.Context) (err error) {
	since := time.Now()
	warmup := a.warmup()
	log := a.o.Logger
	log.Info("alerts: rules are loaded", "files", len(a.files), "reads_back", warmup)
	engines, err := NewEngines(EngineOptions{From: since.Add(-warmup), Metrics: a.o.Metrics.own, Logger: log, Options: promrules.Options{
		MaxSeries: a.o.Config.MaxSeries, Retention: max(time.Hour, warmup), Lookback: lookback, ExternalURL: a.o.Config.ExternalURL,
		PromoteResourceAttributes: a.o.Config.Promote, Logger: log, Metrics: a.o.Metrics.rules}}, a.files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engines.Close()) }()
	in, err := intake.New(intake.Options{Source: a.o.Queue, Streams: a.o.Streams, From: since.Add(-warmup), Wants: engines.Wants, Sink: engines, Metrics: a.o.Metrics.intake, Logger: log})
	if err != nil {
		return err
	}
	record := journal.New(a.o.Queue, journal.Options{Config: a.o.Config.History, State: a.state, Metrics: a.o.Metrics.journal, Logger: log})

	following, unfollow := context.WithCancel(context.WithoutCancel(ctx)) // to the end: what is sent is written
	var follows sync.WaitGroup
	follows.Go(func() {
		if err := record.Follow(following, 0, func(e alerts.Entry) error { a.state.Apply(e); return nil }); err != nil {
			log.Error("BUG: the log of alerts is followed no more", "error", err)
		}
	})
	defer follows.Wait()
	defer unfollow()

	lead := NewLead(a.o.Queue, a.o.Holder, log)
	var d *deliver.Deliverer
	made := make(chan struct{})
	look := func(k alerts.ClaimKey) { <-made; d.Look(k) }
	router := NewRouter(RouterOptions{Config: a.notify, State: a.state, Look: look, Logger: log})
	defer router.Close()
	d = deliver.New(deliver.Options{Claims: a.o.Claims, Log: record, State: a.state, Group: router.Group, Send: router.Send,
		Final: func(err error) bool { return errors.Is(err, amnotify.ErrPermanent) }, Rank: a.o.Rank,
		FailOpen: alerts.Severity(a.o.Config.Redis.FailOpenSeverity), Metrics: a.o.Metrics.deliver, Logger: log})
	close(made)
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = errors.Join(err, d.Stop(within))
	}()
	teller := NewTeller(TellerOptions{Log: record, State: a.state, Leads: lead.Leads, PolicyOf: a.policies.Of, Metrics: a.o.Metrics.own, Logger: log})
	defer teller.Close()
	escalator := NewEscalator(EscalatorOptions{Log: record, State: a.state, Router: router, Leads: lead.Leads, Look: look, Logger: log})
	defer escalator.Close()
	evaluator := NewEvaluator(EvaluatorOptions{Engines: engines, Watermark: in.Watermark, Offset: time.Duration(a.o.Config.QueryOffset), Since: since,
		Tell: teller.Tell, Metrics: a.o.Metrics.own, Logger: log})

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return in.Run(ctx) })
	g.Go(func() error { return evaluator.Run(ctx) })
	g.Go(func() error { return router.Run(ctx) })
	g.Go(func() error { return escalator.Run(ctx) })
	g.Go(func() error { lead.Run(ctx); return nil })
	g.Go(func() error { a.tidy(ctx, record.Tidier(), teller, engines, lead, evaluator); return nil })
	return g.Wait()
}

// tidyEvery is the pace of what the replica that tells does beside telling.
const tidyEvery = 5 * time.Second

// tidy ends the alerts of rules that are gone, and keeps the log within its bounds.
func (a *Alerter) tidy(ctx context.Context, t *journal.Tidier, teller *Teller, engines *Engines, lead *Lead, v *Evaluator) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !lead.Leads() || !a.state.CaughtUp() {
			continue
		}
		if w := v.o.Watermark(); !w.Before(v.o.Since) { // it evaluates the present
			if err := teller.Gone(ctx, engines.Has, w); err != nil {
				a.o.Logger.Warn("alerts: those of rules that are gone are not resolved yet", "error", err)
			}
		}
		t.Round(ctx)
	}
}
