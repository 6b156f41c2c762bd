//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
)

// Disk is what the disk of the data directory does by itself: writes of 256 KiB,
// each with an fsync, one after the other, before and after the window.
type Disk struct {
	Syncs   int          `json:"syncs"`
	Latency load.Latency `json:"latency"` // of write and fsync together
}

const probeBytes = 256 << 10

var probeFor = 3 * time.Second // before, and again after

// probe writes into a file in the directory and times it.
func probe(dir string, long time.Duration) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, probeBytes)
	for i := range block {
		block[i] = byte(i * i >> 3)
	}
	for began := time.Now(); time.Since(began) < long; {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return took, err
		}
		if err := f.Sync(); err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// half measures latency on a schedule at half of what goes through at most.
func half(ctx context.Context, o options, s scenario, errs io.Writer) (out outcome, err error) {
	for _, durability := range []string{"strict", "process"} {
		o.durability = durability
		r, err := halfOf(ctx, o, s, errs)
		if err != nil {
			return out, err
		}
		want := 3.0
		if durability == "strict" {
			want = max(15, 2*r.Disk.Latency.P99)
		}
		// That of commits alone: clients also wait for their group to begin, and for a
		// core among the three processes on two.
		t := target{what: "commit p99", unit: "ms", want: want, got: func(r Result) float64 { return r.Commits.P99 }}
		out.Results = append(out.Results, r)
		out.Targets = append(out.Targets, t.judge(r))
	}
	return out, nil
}

func halfOf(ctx context.Context, o options, s scenario, errs io.Writer) (r Result, err error) {
	at, err := s.up(ctx, o)
	if err != nil {
		return r, err
	}
	defer at.clear()
	l := s.load
	if l.Rate = o.rate; l.Rate == 0 {
		top, err := at.window(ctx, s.load, o.warmup, o.duration/2)
		if err != nil {
			return r, err
		}
		if _, err := at.drained(ctx); err != nil {
			return r, err
		}
		l.Rate = min(top.Delivered, top.Accepted) / 2
	}
	before, err := probe(at.dir, probeFor)
	if err != nil {
		return r, err
	}
	fmt.Fprintf(errs, "%s: %s, %.0f items/s on a schedule, %s warm-up, %s window\n", s.name, o.durability, l.Rate, o.warmup, o.duration)
	if r, err = at.window(ctx, l, o.warmup, o.duration); err != nil {
		return r, err
	}
	if err := at.settle(ctx, &r); err != nil {
		return r, err
	}
	after, err := probe(at.dir, probeFor)
	if err != nil {
		return r, err
	}
	all := append(before, after...)
	r.Disk = &Disk{Syncs: len(all), Latency: load.LatencyOf(all)}
	r.Scenario, r.Letter, r.Variant = s.name, s.letter, o.durability
	return r, at.stop()
}
