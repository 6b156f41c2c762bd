package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/bench/plot"
)

// compared shows Penstock beside its peers, from the newest run of all.
func (p *page) compared(runs []*run) {
	i := slices.IndexFunc(runs, (*run).comparison)
	if i < 0 {
		return
	}
	r := runs[i]
	p.say("\n## Beside its peers\n\nThe same requests, the same sink, turn by turn; medians of the turns.\n")
	p.from(r)
	for _, f := range figures {
		p.bars("compare-"+f.name+".svg", f.title+" beside peers", f.label, distinct(r.Results, scenario), distinct(r.Results, system), func(g, s string) float64 {
			return median(r.of(func(x result) bool { return x.Scenario == g && x.System == s }), f.of)
		})
	}
	for _, s := range distinct(r.Results, scenario) {
		p.curves("compare-latency-"+s+".svg", "Latency of requests, closed loop: "+s, r.of(func(x result) bool { return x.Scenario == s }), system)
	}
	if len(r.Ratios) > 0 {
		p.say("\n| scenario | figure | of | to | median ratio | turns |\n|---|---|---|---|---|---|\n")
		for _, q := range r.Ratios {
			var turns []string
			for _, t := range q.Turns {
				turns = append(turns, plot.Short(t))
			}
			p.say("| %s | %s | %s | %s | %s | %s |\n", q.Scenario, q.What, q.Of, q.To, plot.Short(q.Median), strings.Join(turns, " "))
		}
	}
	for _, q := range r.Peers {
		p.say("\n- **%s**: %s. An acknowledged request is %s. Set: %s.", q.Name, q.Product, q.Promise, q.Tuned)
	}
	if len(r.NotHere) > 0 {
		p.say("\n\nNot compared: %s.\n", strings.Join(r.NotHere, "; "))
	}
}

func (r *run) alone() bool { return !r.comparison() }

// single says whether a scenario has but one variant in its run.
func single(r *run, s string) bool {
	return len(distinct(r.of(func(x result) bool { return x.Scenario == s }), variant)) == 1
}

// scenarios shows those that are one window.
func (p *page) scenarios(runs []*run) {
	names, of := newest(runs, (*run).alone)
	names = slices.DeleteFunc(names, func(s string) bool { return !single(of[s], s) })
	if len(names) == 0 {
		return
	}
	p.say("\n## Scenarios\n\nPenstock alone, all roles in one process unless the scenario says otherwise.\n")
	var told []*run
	for _, s := range names {
		if !slices.Contains(told, of[s]) {
			told = append(told, of[s])
			p.from(of[s])
		}
	}
	for _, f := range figures {
		p.bars("scenarios-"+f.name+".svg", f.title, f.label, names, []string{"penstock"}, func(g, _ string) float64 {
			return median(of[g].of(func(x result) bool { return x.Scenario == g }), f.of)
		})
	}
}

// few is how many variants are still bars; more are a matrix.
const few = 6

// turns shows scenarios of a few variants.
func (p *page) turns(runs []*run) {
	names, of := newest(runs, (*run).alone)
	for _, s := range names {
		all := of[s].of(func(x result) bool { return x.Scenario == s })
		variants := distinct(all, variant)
		if len(variants) == 1 || len(variants) > few {
			continue
		}
		p.say("\n## %s\n\nMedians of the turns.\n", s)
		p.from(of[s])
		for _, f := range figures {
			p.bars(s+"-"+f.name+".svg", f.title+": "+s, f.label, variants, []string{"penstock"}, func(g, _ string) float64 {
				return median(slices.DeleteFunc(slices.Clone(all), func(x result) bool { return x.Variant != g }), f.of)
			})
		}
		p.curves(s+"-latency.svg", "Latency of requests: "+s, all, variant)
	}
}

// latencies shows those of the scenarios that are one window, in one plot.
func (p *page) latencies(runs []*run) {
	names, of := newest(runs, (*run).alone)
	var all []result
	for _, s := range names {
		if single(of[s], s) {
			all = append(all, of[s].of(func(x result) bool { return x.Scenario == s })...)
		}
	}
	if len(all) > 0 {
		p.say("\n## Latency\n\nOf requests at saturation, closed loop: how long a client waits for durability while both cores are full.\n")
		p.curves("latency.svg", "Latency of requests by scenario", all, scenario)
	}
}

// curves draws latency by percentile, one line a name: of the first result that
// has it.
func (p *page) curves(file, title string, results []result, name func(result) string) {
	l := plot.Lines{Title: title, XLabel: "percentile of requests", YLabel: "ms", X: plot.Percentile, LogY: true}
	for _, n := range distinct(results, name) {
		r := results[slices.IndexFunc(results, func(x result) bool { return name(x) == n })]
		var points []plot.Point
		for _, d := range r.Clients.Latency.Distribution {
			if d.Quantile < 1 && d.Millis > 0 { // the very last has no place on the axis
				points = append(points, plot.Point{X: d.Quantile, Y: d.Millis})
			}
		}
		if len(points) > 0 {
			l.Series = append(l.Series, plot.Line{Name: n, Points: points})
		}
	}
	if len(l.Series) > 0 {
		p.draw(file, title, l)
	}
}

// matrix shows scenarios of many variants: throughput over clients, for each size
// of a request.
func (p *page) matrix(runs []*run) {
	names, of := newest(runs, (*run).alone)
	for _, s := range names {
		all := of[s].of(func(x result) bool { return x.Scenario == s })
		if len(distinct(all, variant)) <= few {
			continue
		}
		p.say("\n## %s\n", s)
		p.from(of[s])
		for _, story := range distinct(all, func(r result) string { return r.Load.Story }) {
			l := plot.Lines{Title: fmt.Sprintf("Throughput: %s, %s", s, story), XLabel: "requests in flight", YLabel: "items/s", X: plot.Log}
			for _, r := range all {
				if r.Load.Story != story {
					continue
				}
				name := fmt.Sprintf("%d a request", r.Load.Items)
				i := slices.IndexFunc(l.Series, func(x plot.Line) bool { return x.Name == name })
				if i < 0 {
					i, l.Series = len(l.Series), append(l.Series, plot.Line{Name: name})
				}
				l.Series[i].Points = append(l.Series[i].Points, plot.Point{X: float64(r.Load.Clients), Y: r.rate()})
			}
			for _, line := range l.Series {
				slices.SortFunc(line.Points, func(a, b plot.Point) int { return int(a.X - b.X) })
			}
			p.draw(s+"-"+story+".svg", l.Title, l)
		}
	}
}

// targets lists those of the newest run of each scenario, the missed ones too.
func (p *page) targets(runs []*run) {
	_, of := newest(runs, (*run).alone)
	head := false
	for _, r := range runs {
		for _, v := range r.Targets {
			if of[v.Scenario] != r {
				continue
			}
			if !head {
				p.say("\n## Targets\n\n| scenario | variant | figure | target | measured | |\n|---|---|---|---|---|---|\n")
				head = true
			}
			bound := "≤"
			if v.AtLeast {
				bound = "≥"
			}
			p.say("| %s | %s | %s, %s | %s %s | %s | %s |\n", v.Scenario, v.Variant, v.What, v.Unit, bound, plot.Short(v.Want), plot.Short(v.Got), v.Said)
		}
	}
}
