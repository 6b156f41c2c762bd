package promrules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// Options of an Engine. Zero values are the defaults.
type Options struct {
	// Dir is where the scratch directory is made; "": the system's.
	Dir string
	// MaxSeries bounds the series at a time, and those that rules make by as many
	// again. 0: 300,000, which take about 500 MB.
	MaxSeries int
	// MaxDeltaStreams bounds the series of delta temporality. 0: MaxSeries.
	MaxDeltaStreams int
	// MaxLabels of a sample or its resource, 0: 128. MaxLabelBytes of a name or a
	// value, 0: 1024.
	MaxLabels, MaxLabelBytes int
	// Window is how late a sample may come after later ones of its series. 0: 5 min.
	Window time.Duration
	// MaxAge and MaxAhead bound the time of a sample around the now of Append.
	// 0: 30 min and 10 min.
	MaxAge, MaxAhead time.Duration
	// Retention is how far back Evaluate can read: at least Needs.Range. 0: 1 h.
	Retention time.Duration
	// Lookback is how long a sample stands for its series. 0: 5 min.
	Lookback time.Duration
	// QueryTimeout bounds an expression, 0: 30 s. MaxQuerySamples bounds what it
	// holds at a time, 0: 50 million.
	QueryTimeout    time.Duration
	MaxQuerySamples int
	// Interval of groups that have none. 0: 15 s.
	Interval time.Duration
	// PromoteResourceAttributes become labels of each sample.
	PromoteResourceAttributes []string
	// ExternalLabels and ExternalURL are for templates.
	ExternalLabels []Label
	ExternalURL    string
	// Logger gets what upstream logs; nil: nothing.
	Logger *slog.Logger
	// Metrics count; nil: nobody sees them.
	Metrics *Metrics

	block    time.Duration // what the head holds; 0: blockRange
	subquery time.Duration // step of subqueries without one; 0: Interval
}

// blockRange is how much the head holds before it is cut, in time: by half of it
// may results of recording rules be older than the newest sample.
const blockRange = time.Hour

// MaxLead is how far Append may be ahead of Evaluate, samples that are ahead of
// their own time included.
const MaxLead = blockRange / 2

// deltaStale is how long a delta stream may be silent, by the wall clock.
const deltaStale = 2 * time.Hour

func (o *Options) fill() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	num(&o.MaxSeries, 300_000)
	num(&o.MaxDeltaStreams, o.MaxSeries)
	num(&o.MaxLabels, 128)
	num(&o.MaxLabelBytes, 1024)
	num(&o.MaxQuerySamples, 50_000_000)
	def(&o.Window, 5*time.Minute)
	def(&o.MaxAge, 30*time.Minute)
	def(&o.MaxAhead, 10*time.Minute)
	def(&o.Retention, time.Hour)
	def(&o.Lookback, 5*time.Minute)
	def(&o.QueryTimeout, 30*time.Second)
	def(&o.Interval, 15*time.Second)
	def(&o.block, blockRange)
	def(&o.subquery, o.Interval)
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Engine holds the samples and rules of one tenant. Its methods are safe for
// concurrent use; appends are one at a time.
type Engine struct {
	o       Options
	dir     string
	db      *tsdb.DB
	cap     *seriesCap
	engine  *promql.Engine
	manager *rules.Manager
	metrics *rules.Metrics

	appendMu   sync.Mutex // guards what follows
	deltas     *deltas
	converter  *prometheusremotewrite.PrometheusConverter
	settings   prometheusremotewrite.Settings
	labelNames labelNames
	seen       map[storage.SeriesRef]instant

	names nameCache
	held  atomic.Int64 // alerts without data

	evalMu sync.Mutex // guards what follows, and lets one group at a time be evaluated
	groups map[GroupID]*group
	order  []GroupID
	files  *files
}

// New makes an engine without rules.
func New(o Options) (*Engine, error) {
	o.fill()
	dir, err := os.MkdirTemp(o.Dir, "penstock-rules-")
	if err != nil {
		return nil, fmt.Errorf("scratch directory of rules: %w", err)
	}
	e := &Engine{o: o, dir: dir, cap: newSeriesCap(o.MaxSeries, o.Metrics), groups: map[GroupID]*group{}, files: &files{}, seen: map[storage.SeriesRef]instant{}}
	if err := e.open(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	o.Metrics.of(e, true)
	return e, nil
}

func (e *Engine) open() (err error) {
	t := tsdb.DefaultOptions()
	t.WALSegmentSize = -1 // none: the queue has it all
	t.NoLockfile = true
	t.MinBlockDuration = e.o.block.Milliseconds()
	t.MaxBlockDuration = e.o.block.Milliseconds()
	t.RetentionDuration = (e.o.Retention + e.o.block).Milliseconds()
	// The window counts from the newest sample of all series, which may be ahead.
	t.OutOfOrderTimeWindow = (e.o.Window + e.o.MaxAhead).Milliseconds()
	t.StripeSize = 2048
	t.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	t.EnableExemplarStorage = true
	t.MaxExemplars = 10_000
	t.SeriesLifecycleCallback = e.cap
	if e.db, err = tsdb.Open(e.dir, e.o.Logger, nil, t, nil); err != nil {
		return fmt.Errorf("open the store of rules in %s: %w", e.dir, err)
	}
	if e.deltas, err = newDeltas(e.o.MaxDeltaStreams, deltaStale); err != nil {
		return errors.Join(err, e.db.Close())
	}
	e.converter = prometheusremotewrite.NewPrometheusConverter(nil)
	e.settings = prometheusremotewrite.Settings{
		AddMetricSuffixes: true,
		DisableTargetInfo: true,
		LookbackDelta:     e.o.Lookback,
		PromoteResourceAttributes: prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{
			PromoteResourceAttributes: e.o.PromoteResourceAttributes,
		}),
	}
	e.names.namer = newNamer()
	e.engine = promql.NewEngine(promql.EngineOpts{
		Logger: e.o.Logger, MaxSamples: e.o.MaxQuerySamples, Timeout: e.o.QueryTimeout, LookbackDelta: e.o.Lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return e.o.subquery.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: exprs,
	})
	e.metrics = rules.NewGroupMetrics(nil)
	e.manager = e.newManager()
	return nil
}

// Series is how many series the store has now, of metrics and of rules.
func (e *Engine) Series() (metrics, results int) {
	return e.cap.count()
}

// Close ends the engine and removes its directory. Nothing else may be called
// then.
func (e *Engine) Close() error {
	e.appendMu.Lock()
	defer e.appendMu.Unlock()
	e.evalMu.Lock()
	defer e.evalMu.Unlock()
	e.o.Metrics.of(e, false)
	return errors.Join(e.deltas.close(), e.engine.Close(), e.db.Close(), os.RemoveAll(e.dir))
}

// Sample is one value of an answer.
type Sample struct {
	Labels Labels
	// Value is that of a float; of a histogram it is NaN and Histogram its text.
	Value     float64
	Histogram string
}

// Query evaluates an expression at a time.
func (e *Engine) Query(ctx context.Context, expr string, at time.Time) ([]Sample, error) {
	vector, err := e.query(ctx, expr, at)
	if err != nil {
		return nil, fmt.Errorf("query %.200q: %w", expr, err)
	}
	list := make([]Sample, 0, len(vector))
	for _, s := range vector {
		one := Sample{Labels: fromProm(s.Metric), Value: s.F}
		if s.H != nil {
			one.Value, one.Histogram = math.NaN(), s.H.String()
		}
		list = append(list, one)
	}
	return list, nil
}

func (e *Engine) query(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	return rules.EngineQueryFunc(e.engine, e.db)(ctx, expr, at)
}
