package page

import (
	"math"
	"slices"
)

// of are the results that the function wants.
func (r *run) of(want func(result) bool) (out []result) {
	for _, x := range r.Results {
		if want(x) {
			out = append(out, x)
		}
	}
	return out
}

// distinct lists the names that the function gives, in the order of the results.
func distinct(results []result, name func(result) string) (out []string) {
	for _, r := range results {
		if n := name(r); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func scenario(r result) string { return r.Scenario }
func system(r result) string   { return r.System }
func variant(r result) string  { return r.Variant }

// comparison says whether a run has peers beside Penstock.
func (r *run) comparison() bool { return len(distinct(r.Results, system)) > 1 }

// newest gives for each scenario the newest run that has it and that the function
// wants; scenarios come in the order in which the newest runs have them.
func newest(runs []*run, want func(*run) bool) (names []string, of map[string]*run) {
	of = map[string]*run{}
	for _, r := range runs {
		if !want(r) {
			continue
		}
		for _, s := range distinct(r.Results, scenario) {
			if of[s] == nil {
				of[s] = r
				names = append(names, s)
			}
		}
	}
	return names, of
}

// median of a figure over results, as of turns; NaN without any.
func median(results []result, figure func(result) float64) float64 {
	var v []float64
	for _, r := range results {
		v = append(v, figure(r))
	}
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// figures are what bars show.
var figures = []struct {
	name, title, label string
	of                 func(result) float64
}{
	{"throughput", "Throughput", "items/s", result.rate},
	{"cpu", "CPU of an item, user and system", "µs/item", func(r result) float64 { return r.CPU }},
	{"memory", "Peak resident memory", "MB", func(r result) float64 { return float64(r.PeakRSS) / 1e6 }},
}
