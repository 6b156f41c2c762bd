//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Ratio is a figure of one variant to that of another, measured in turns: the
// median over the turns, and what each turn gave.
type Ratio struct {
	Scenario string    `json:"scenario"`
	What     string    `json:"what"`
	Of       string    `json:"of"`
	To       string    `json:"to"`
	Turns    []float64 `json:"turns"`
	Median   float64   `json:"median"`
}

// side is one of those that are measured in turns.
type side struct {
	name  string
	build func() (*site, error)
}

// inTurns measures each side as often as wanted, every second time in reverse, so
// that what the machine does besides hits all.
func (s scenario) inTurns(ctx context.Context, o options, sides []side, errs io.Writer) (map[string][]Result, error) {
	out := map[string][]Result{}
	for turn := range o.turns {
		order := slices.Clone(sides)
		if turn%2 == 1 {
			slices.Reverse(order)
		}
		for _, x := range order {
			r, err := s.once(ctx, o, x.build)
			if err != nil {
				return out, fmt.Errorf("%s, turn %d: %w", x.name, turn+1, err)
			}
			r.Variant, r.Turn = x.name, turn+1
			fmt.Fprintf(errs, "%s, %s, turn %d: %.0f items/s, %.2f µs/item\n", s.name, x.name, turn+1, r.Delivered, r.CPU)
			out[x.name] = append(out[x.name], r)
		}
	}
	return out, nil
}

// ratio compares two sides turn by turn. A turn in which there was nothing to
// compare with is left out.
func ratio(scenario, what, of, to string, results map[string][]Result, get func(Result) float64) Ratio {
	r := Ratio{Scenario: scenario, What: what, Of: of, To: to}
	for i := range results[of] {
		if by := get(results[to][i]); by > 0 {
			r.Turns = append(r.Turns, get(results[of][i])/by)
		}
	}
	r.Median = median(r.Turns)
	return r
}

// median of an even number is the mean of the two in the middle.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}

func rateOf(r Result) float64 { return r.Delivered }
func cpuOf(r Result) float64  { return r.CPU }

// profile is the price of fsync on each commit.
func profile(ctx context.Context, o options, s scenario, errs io.Writer) (outcome, error) {
	var sides []side
	for _, durability := range []string{"strict", "process"} {
		with := o
		with.durability = durability
		sides = append(sides, side{durability, func() (*site, error) { return s.up(ctx, with) }})
	}
	results, err := s.inTurns(ctx, o, sides, errs)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{Results: slices.Concat(results["strict"], results["process"])}
	rate := ratio(s.name, "delivered", "strict", "process", results, rateOf)
	out.Ratios = []Ratio{rate, ratio(s.name, "CPU", "strict", "process", results, cpuOf)}
	price := judge(target{what: "price of fsync", unit: "% of throughput", want: 25}, (1-rate.Median)*100)
	price.Scenario = s.name
	out.Targets = []Verdict{price}
	return out, nil
}

// shards compares one stream a signal with four.
func shards(ctx context.Context, o options, s scenario, errs io.Writer) (outcome, error) {
	sides := []side{
		{"1 shard", func() (*site, error) { return s.up(ctx, o, "queue.shards=1") }},
		{"4 shards", func() (*site, error) { return s.up(ctx, o, "queue.shards=4") }},
	}
	results, err := s.inTurns(ctx, o, sides, errs)
	if err != nil {
		return outcome{}, err
	}
	return outcome{
		Results: slices.Concat(results["1 shard"], results["4 shards"]),
		Ratios: []Ratio{
			ratio(s.name, "delivered", "4 shards", "1 shard", results, rateOf),
			ratio(s.name, "CPU", "4 shards", "1 shard", results, cpuOf),
		},
	}, nil
}
