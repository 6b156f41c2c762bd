//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/penstock-otel/penstock/bench/procstat"
	"github.com/penstock-otel/penstock/bench/sink"
)

// Backlog is what a worker does that starts before a queue full of data.
type Backlog struct {
	Stored      int64      `json:"stored_bytes"` // of the stream, before the worker starts
	Items       uint64     `json:"items"`
	FillRate    float64    `json:"filled_items_per_second"`
	FirstExport float64    `json:"first_export_seconds"` // from the start of the worker's process until the sink has an item
	Drain       float64    `json:"drain_seconds"`        // from the start of the worker's process until the sink has all
	Rate        float64    `json:"drained_items_per_second"`
	WorkerRSS   int64      `json:"worker_peak_rss_bytes"`
	WorkerCPU   float64    `json:"worker_cpu_us_per_item"`
	GatewayRSS  int64      `json:"gateway_peak_rss_bytes"` // with the embedded queue, over filling and draining
	Proof       sink.Stats `json:"sink"`
}

type backlogOptions struct {
	common
	stored  int64
	clients int
}

// runBacklog fills a queue while no worker runs, starts one, and measures it
// until the queue is empty and everything has arrived.
func runBacklog(ctx context.Context, args []string, out, errs io.Writer) error {
	o := backlogOptions{common: common{durability: "process"}}
	f := o.flagSet("backlog", errs)
	mib := f.Int64("stored", 2048, "MiB of traces that lie in the stream when the worker starts")
	f.IntVar(&o.clients, "clients", 96, "requests in flight while it is filled")
	if err := parse(f, args); err != nil {
		return err
	}
	o.stored = *mib << 20
	cleanup, err := o.prepare(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	b, err := measureBacklog(ctx, o, errs)
	if err != nil {
		return err
	}
	r := newReport(append([]string{"backlog"}, args...), o.common)
	r.Backlog = &b
	b.say(out)
	return r.save(o.results, errs)
}

func (b Backlog) say(out io.Writer) {
	fmt.Fprintf(out, "backlog of %d MiB, %d items: first export after %.2f s, all after %.1f s (%.0f items/s); worker %d MiB at most, %.2f µs/item, gateway with the queue %d MiB; %d duplicates\n",
		b.Stored>>20, b.Items, b.FirstExport, b.Drain, b.Rate, b.WorkerRSS>>20, b.WorkerCPU, b.GatewayRSS>>20, b.Proof.Duplicates)
}

// scenarioBacklog is how much lies in the queue when it is one of many scenarios.
const scenarioBacklog = 1 << 30

func backlogScenario(ctx context.Context, o options, s scenario, errs io.Writer) (outcome, error) {
	fmt.Fprintf(errs, "%s: %d MiB\n", s.name, scenarioBacklog>>20)
	b, err := measureBacklog(ctx, backlogOptions{common: s.settings(o), stored: scenarioBacklog, clients: s.load.Clients}, errs)
	return outcome{Backlog: &b}, err
}

func measureBacklog(ctx context.Context, o backlogOptions, errs io.Writer) (r Backlog, err error) {
	s, err := build(ctx, o.common, true, false, "", gatewayOnly(""))
	if err != nil {
		return r, err
	}
	defer s.clear()
	if err := s.fill(ctx, o, errs, &r); err != nil {
		return r, fmt.Errorf("%w\n%s", err, s.up.tail())
	}
	if got, err := sink.Read(ctx, s.stats); err != nil || got.Items > 0 {
		return r, errors.Join(err, fmt.Errorf("%d items arrived while no worker ran", got.Items))
	}
	began := time.Now()
	worker, err := s.worker()
	if err != nil {
		return r, err
	}
	defer worker.kill()
	for {
		got, err := sink.Read(ctx, s.stats)
		if err != nil {
			return r, err
		}
		if got.Items > 0 && r.FirstExport == 0 {
			r.FirstExport = time.Since(began).Seconds()
		}
		if got.Distinct >= s.acked {
			r.Proof = got
			break
		}
		if time.Since(began) > 30*time.Minute {
			return r, fmt.Errorf("sink has %d of %d items after half an hour\n%s", got.Distinct, s.acked, worker.tail())
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return r, err
		}
	}
	r.Drain = time.Since(began).Seconds()
	r.Items, r.Rate = s.acked, float64(s.acked)/r.Drain
	w, err := procstat.Read(worker.pid())
	if err != nil {
		return r, err
	}
	r.WorkerRSS, r.WorkerCPU = w.PeakRSS, float64(w.CPU.Microseconds())/float64(r.Items)
	q, err := procstat.Read(s.up.pid())
	if err != nil {
		return r, err
	}
	r.GatewayRSS = q.PeakRSS
	return r, errors.Join(worker.stop(stopPatience), s.stop())
}

// fill sends until the stream holds what is wanted.
func (s *site) fill(ctx context.Context, o backlogOptions, errs io.Writer, r *Backlog) error {
	gen, err := s.generate(kind("traces", 100, 4, o.clients))
	if err != nil {
		return err
	}
	began := time.Now()
	for said := began; err == nil && r.Stored < o.stored; {
		if err = wait(ctx, 200*time.Millisecond); err == nil {
			r.Stored, err = s.storedBytes(ctx)
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Fprintf(errs, "filled %d of %d MiB\n", r.Stored>>20, o.stored>>20)
		}
	}
	g, ended := s.finish(gen)
	if err = errors.Join(err, ended); err != nil {
		return err
	}
	if g.Failed > 0 {
		return fmt.Errorf("%d requests failed while the queue was filled: %q", g.Failed, g.Errors)
	}
	r.FillRate = float64(g.AckedItems) / time.Since(began).Seconds()
	return nil
}

// storedBytes is what the queue took, from the gateway's metrics.
func (s *site) storedBytes(ctx context.Context) (int64, error) {
	m, err := scrape(ctx, "http://"+s.admin+"/metrics")
	return int64(m.sum("penstock_queue_committed_bytes_total")), err
}
