//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
	"github.com/penstock-otel/penstock/bench/sink"
)

// Result is the figures of one window. Rates and costs are of the window; one item
// is a span, a metric point or a log record.
type Result struct {
	Scenario   string       `json:"scenario"`
	Letter     string       `json:"letter,omitempty"`
	System     string       `json:"system"`            // what was measured: penstock, or a peer
	Variant    string       `json:"variant,omitempty"` // of the scenario
	Turn       int          `json:"turn,omitempty"`    // from 1, where variants or systems are measured in turns
	Durability string       `json:"durability,omitempty"`
	Config     string       `json:"config,omitempty"`
	Load       load.Options `json:"load"`
	IDs        bool         `json:"proven_by_identity"`

	Seconds     float64 `json:"window_seconds"`
	Delivered   float64 `json:"delivered_items_per_second"` // counted at the sink
	Accepted    float64 `json:"accepted_items_per_second"`  // acknowledged to clients
	CPU         float64 `json:"system_cpu_us_per_item"`     // user and system, of what is measured without nats-servers
	PeakRSS     int64   `json:"system_peak_rss_bytes"`      // since its start
	Written     float64 `json:"written_bytes_per_item"`     // sent to storage by what is measured, and its nats-servers
	RawBytes    float64 `json:"raw_bytes_per_item"`         // as it arrived
	ExportItems float64 `json:"items_per_export_request"`
	// PerAccepted: costs are by items accepted, for nothing was delivered.
	PerAccepted bool               `json:"costs_per_accepted_item,omitempty"`
	Stored      *Stored            `json:"stored,omitempty"` // of Penstock alone
	Commits     *Commits           `json:"commits,omitempty"`
	Processes   map[string]Process `json:"processes"`
	Clients     load.Result        `json:"clients"`

	Whole *Whole     `json:"whole,omitempty"`
	Drain float64    `json:"drain_seconds"` // from the end of the load until the sink had all
	Proof sink.Stats `json:"sink"`          // then, of all loads on this sink

	Idle *Idle `json:"idle_connections,omitempty"`
	Disk *Disk `json:"disk,omitempty"`

	Costs []Cost `json:"costs,omitempty"`
}

// Whole is the load from its first request until the sink had all that was
// acknowledged, warm-up and drain with it. What gathers a backlog in the window
// pays for it here, so systems are compared by these.
type Whole struct {
	Seconds float64 `json:"seconds"`
	Items   uint64  `json:"items"`
	Rate    float64 `json:"items_per_second"`
	CPU     float64 `json:"system_cpu_us_per_item"`

	began time.Time
	used  time.Duration // CPU when it began
}

// Stored is what went into Penstock's queue, from its own counters.
type Stored struct {
	Items   float64 `json:"items"`
	Bytes   float64 `json:"bytes"`
	Raw     float64 `json:"raw_bytes"`
	Share   float64 `json:"share_of_raw"`
	PerItem float64 `json:"bytes_per_item"`
}

// Commits is Penstock's own measure of the commits in the window, even within
// the buckets of its histogram, which double.
type Commits struct {
	Count    float64 `json:"count"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Beyond   bool    `json:"p99_is_above,omitempty"` // P99 is the last bound, and too small
	Items    float64 `json:"items_per_commit"`
	InFlight float64 `json:"in_flight_at_the_end"`
}

// snapshot is everything at one moment.
type snapshot struct {
	at      time.Time
	arrived sink.Stats
	metrics series
	of      map[string]reading
}

func (s *site) snapshot(ctx context.Context) (snapshot, error) {
	n := snapshot{at: time.Now(), of: map[string]reading{}}
	var err error
	if n.arrived, err = sink.Read(ctx, s.stats); err != nil {
		return n, err
	}
	for name, m := range s.meters {
		if n.of[name], err = m.read(); err != nil {
			return n, fmt.Errorf("%s: %w\n%s", name, err, s.up.tail())
		}
	}
	if s.admin != "" {
		n.metrics, err = scrape(ctx, "http://"+s.admin+"/metrics")
	}
	return n, err
}

// window measures under a load that it starts and ends. Nothing is said yet of
// whether all arrived: see drained.
func (s *site) window(ctx context.Context, l load.Options, warmup, duration time.Duration) (r Result, err error) {
	whole, err := s.begin()
	if err != nil {
		return r, err
	}
	gen, err := s.generate(l)
	if err != nil {
		return r, err
	}
	ended := false
	defer func() {
		if !ended {
			gen.in.Close()
			gen.wait()
		}
	}()
	if err := wait(ctx, warmup); err != nil {
		return r, err
	}
	m := newMeter(false, gen.pid())
	s.meters["generator"] = m
	defer delete(s.meters, "generator")
	if _, err := gen.in.Write([]byte("mark\n")); err != nil {
		return r, fmt.Errorf("generator: %w\n%s", err, gen.tail())
	}
	a, err := s.snapshot(ctx)
	if err != nil {
		return r, err
	}
	if err := wait(ctx, duration); err != nil {
		return r, err
	}
	b, err := s.snapshot(ctx)
	if err != nil {
		return r, err
	}
	if _, err := gen.in.Write([]byte("end\n")); err != nil {
		return r, fmt.Errorf("generator: %w\n%s", err, gen.tail())
	}
	ended = true
	g, err := s.finish(gen)
	if err != nil {
		return r, err
	}
	r = figures(a, b, g, s.meters)
	r.Whole = whole
	r.System, r.Durability, r.Load, r.IDs = s.measured(), s.durability, l, s.ids
	if r.System != "penstock" {
		r.Durability, r.Config = "", s.config
	}
	return r, nil
}

// measured is the name of what is measured.
func (s *site) measured() string {
	for name := range s.meters {
		if name != "sink" && name != "generator" && name != "nats" {
			return name
		}
	}
	return ""
}

// settle waits until all arrived and notes it in the result of the last load.
func (s *site) settle(ctx context.Context, r *Result) (err error) {
	stopped := time.Now()
	if r.Proof, err = s.drained(ctx); err != nil {
		return err
	}
	r.Drain = time.Since(stopped).Seconds()
	u, err := s.meters[r.System].read()
	if err != nil {
		return err
	}
	r.PeakRSS = u.PeakRSS
	w := r.Whole
	w.Seconds, w.Items = time.Since(w.began).Seconds(), r.Clients.AckedItems
	if w.Items == 0 {
		return nil
	}
	w.Rate, w.CPU = float64(w.Items)/w.Seconds, float64((u.CPU-w.used).Microseconds())/float64(w.Items)
	return nil
}

func (s *site) begin() (*Whole, error) {
	u, err := s.meters[s.measured()].read()
	return &Whole{began: time.Now(), used: u.CPU}, err
}

func figures(a, b snapshot, g load.Result, meters map[string]*meter) Result {
	seconds := b.at.Sub(a.at).Seconds()
	items := float64(b.arrived.Items - a.arrived.Items)
	r := Result{
		Seconds:   seconds,
		Delivered: items / seconds, Accepted: float64(g.WindowItems) / seconds,
		Processes: map[string]Process{},
		Clients:   g,
	}
	if items > 0 {
		r.RawBytes = float64(b.arrived.Bytes-a.arrived.Bytes) / items
		r.ExportItems = items / float64(b.arrived.Requests-a.arrived.Requests)
	} else {
		items, r.PerAccepted = float64(g.WindowItems), true
	}
	for name, m := range meters {
		p := m.process(a.of[name], b.of[name], items)
		r.Processes[name] = p
		switch name {
		case "sink", "generator":
			continue
		case "nats":
		default:
			r.CPU, r.PeakRSS = p.PerItem, p.PeakRSS
		}
		if items > 0 {
			r.Written += float64(p.Written) / items
		}
	}
	if raw := b.metrics.rise(a.metrics, "penstock_queue_committed_raw_bytes_total"); raw > 0 {
		st := &Stored{Raw: raw, Bytes: b.metrics.rise(a.metrics, "penstock_queue_committed_bytes_total"),
			Items: b.metrics.rise(a.metrics, "penstock_queue_committed_items_total")}
		st.Share, st.PerItem = st.Bytes/st.Raw, st.Bytes/st.Items
		r.Stored = st
		if n := b.metrics.rise(a.metrics, "penstock_commit_seconds_count"); n > 0 {
			c := &Commits{Count: n, Items: st.Items / n, InFlight: b.metrics.sum("penstock_commits_in_flight")}
			p50, _ := b.metrics.quantile(a.metrics, "penstock_commit_seconds", 0.5)
			p99, beyond := b.metrics.quantile(a.metrics, "penstock_commit_seconds", 0.99)
			c.P50, c.P99, c.Beyond = p50*1000, p99*1000, beyond
			r.Commits = c
		}
	}
	return r
}
