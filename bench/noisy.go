//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
)

// Noisy is what a tenant far above its quota does to another.
type Noisy struct {
	Rate    float64     `json:"quiet_items_per_second"`
	Quota   int         `json:"noisy_quota_items_per_second"`
	Offered float64     `json:"noisy_offered_items_per_second"`
	Idle    bool        `json:"noisy_generator_idle_priority"`
	Windows []NoisyPair `json:"windows"`
	// Ratio is the median over the windows of the quiet one's P99 beside the noisy
	// one to that alone.
	Ratio float64 `json:"p99_ratio_median"`
}

// NoisyPair is one window without and one with the noisy tenant.
type NoisyPair struct {
	Alone  load.Result `json:"alone"`
	Beside load.Result `json:"beside_noisy"`
	Noisy  load.Result `json:"noisy"`
}

type noisyOptions struct {
	common
	rate, times  float64
	quota, pairs int
	idle         bool
	window       time.Duration
}

// runNoisy measures the latency of one tenant in turns, alone and beside another
// that sends many times its quota and takes no refusal for an answer.
func runNoisy(ctx context.Context, args []string, out, errs io.Writer) error {
	var o noisyOptions
	f := o.flagSet("noisy", errs)
	f.Float64Var(&o.rate, "rate", 20_000, "spans a second of the quiet tenant, 100 a request")
	f.IntVar(&o.quota, "quota", 5_000, "items_per_second of the noisy tenant")
	f.Float64Var(&o.times, "times", 10, "how many times its quota the noisy tenant sends")
	f.BoolVar(&o.idle, "idle", true, "the noisy tenant's generator runs when nobody else wants the core (SCHED_IDLE): in life it has its own")
	f.IntVar(&o.pairs, "pairs", 7, "windows of each kind")
	f.DurationVar(&o.window, "window", 6*time.Second, "length of a window")
	if err := parse(f, args); err != nil {
		return err
	}
	cleanup, err := o.prepare(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	n, err := measureNoisy(ctx, o, errs)
	if err != nil {
		return err
	}
	r := newReport(append([]string{"noisy"}, args...), o.common)
	r.Noisy = &n
	fmt.Fprintf(out, "quiet tenant of %.0f spans/s: p99 beside one that sends %.0f on a quota of %d is %.2f of that alone (median of %d)\n",
		n.Rate, n.Offered, n.Quota, n.Ratio, len(n.Windows))
	return r.save(o.results, errs)
}

func measureNoisy(ctx context.Context, o noisyOptions, errs io.Writer) (n Noisy, err error) {
	n.Rate, n.Quota, n.Offered, n.Idle = o.rate, o.quota, o.times*float64(o.quota), o.idle
	s, err := build(ctx, o.common, false, false, "", penstock(fmt.Sprintf("tenants:\n  overrides:\n    - {name: noisy, items_per_second: %d}\n", o.quota), ""))
	if err != nil {
		return n, err
	}
	defer s.clear()
	policy := "-o" // as everybody
	if o.idle {
		policy = "-i"
	}
	for i := range o.pairs {
		var p NoisyPair
		alone := func() (err error) {
			p.Alone, err = s.live(ctx, o.rate, o.window, "quiet")
			return err
		}
		beside := func() (err error) {
			l := kind("traces", liveItems, 4, liveClients)
			l.Target, l.Rate, l.Tenant, l.Stubborn, l.Seed = s.grpc, n.Offered, "noisy", true, 2
			noisy, err := spawn(s.dir, "noisy", true, nil, append([]string{"chrt", policy, "0", s.self, "generate"}, l.Args()...)...)
			if err != nil {
				return err
			}
			p.Beside, err = s.live(ctx, o.rate, o.window, "quiet")
			g, ended := finish(noisy)
			p.Noisy = g
			return errors.Join(err, ended)
		}
		turns := []func() error{alone, beside}
		if i%2 == 1 { // in turns, so that what the machine does besides hits both
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return n, fmt.Errorf("%w\n%s", err, s.up.tail())
			}
		}
		if p.Noisy.Failed == 0 {
			return n, errors.New("the noisy tenant was never refused: the figures compare nothing")
		}
		fmt.Fprintf(errs, "p99 %.1f ms alone, %.1f ms beside the noisy one, of which %d requests were refused and %d items taken\n", p.Alone.Latency.P99, p.Beside.Latency.P99, p.Noisy.Failed, p.Noisy.AckedItems)
		n.Windows = append(n.Windows, p)
	}
	var ratios []float64
	for _, p := range n.Windows {
		ratios = append(ratios, p.Beside.Latency.P99/p.Alone.Latency.P99)
	}
	slices.Sort(ratios)
	n.Ratio = ratios[len(ratios)/2]
	return n, s.stop()
}
