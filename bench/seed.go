//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// The matrix.
var (
	seedBatches     = []int{100, 500, 1000, 5000}
	seedConcurrency = []int{10, 50, 100, 200, 500}
	seedStories     = []string{"web", "trace3"}
)

// seed measures every cell of the matrix on one Penstock. Each begins when all of
// the one before arrived.
func seed(ctx context.Context, o options, s scenario, errs io.Writer) (out outcome, err error) {
	at, err := s.up(ctx, o)
	if err != nil {
		return out, err
	}
	defer at.clear()
	for _, story := range seedStories {
		for _, batch := range seedBatches {
			for _, clients := range seedConcurrency {
				l := s.load
				l.Story, l.Items, l.Clients = story, batch, clients
				r, err := at.window(ctx, l, min(o.warmup, time.Second), o.cell)
				if err != nil {
					return out, err
				}
				if err := at.settle(ctx, &r); err != nil {
					return out, err
				}
				r.Scenario, r.Letter, r.Variant = s.name, s.letter, fmt.Sprintf("%s %d x %d", story, batch, clients)
				fmt.Fprintf(errs, "%s, %s: %.0f items/s accepted, %.0f delivered, %.1f µs/item, p99 %.1f ms, %d failed\n",
					s.name, r.Variant, r.Accepted, r.Delivered, r.CPU, r.Clients.Latency.P99, r.Clients.Failed)
				out.Results = append(out.Results, r)
			}
		}
	}
	return out, at.stop()
}
