//go:build linux

package main

import "fmt"

// target is a figure that a scenario should reach on two cores that generator,
// Penstock and sink share.
type target struct {
	what    string
	unit    string
	want    float64
	atLeast bool // else at most
	got     func(Result) float64
	or      *target // reaching this one is as good
}

// Verdict is a target held against a result.
type Verdict struct {
	Scenario string  `json:"scenario"`
	Variant  string  `json:"variant,omitempty"`
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Want     float64 `json:"want"`
	AtLeast  bool    `json:"at_least"`
	Got      float64 `json:"got"`
	Met      bool    `json:"met"`
	Said     string  `json:"said"` // met, or missed by how much
}

func judge(t target, got float64) Verdict {
	v := Verdict{What: t.what, Unit: t.unit, Want: t.want, AtLeast: t.atLeast, Got: got}
	v.Met = got <= t.want
	missed := got/t.want - 1
	if t.atLeast {
		v.Met, missed = got >= t.want, 1-got/t.want
	}
	v.Said = "met"
	if !v.Met {
		v.Said = fmt.Sprintf("missed by %.3g %%", missed*100)
	}
	return v
}

func (t target) judge(r Result) Verdict {
	v := judge(t, t.got(r))
	if !v.Met && t.or != nil {
		if w := t.or.judge(r); w.Met {
			v.Met, v.Said = true, fmt.Sprintf("%s, but %s %s", v.Said, w.What, w.Said)
		}
	}
	v.Scenario, v.Variant = r.Scenario, r.Variant
	return v
}

// verdicts are those of the scenario's targets for a result.
func (s scenario) verdicts(r Result) (out []Verdict) {
	for _, t := range s.targets {
		out = append(out, t.judge(r))
	}
	return out
}

const megabyte = 1e6

func delivered(want float64) target {
	return target{what: "delivered", unit: "items/s", want: want, atLeast: true, got: func(r Result) float64 { return r.Delivered }}
}

func accepted(want float64) target {
	return target{what: "accepted", unit: "items/s", want: want, atLeast: true, got: func(r Result) float64 { return r.Accepted }}
}

func cpu(want float64) target {
	return target{what: "CPU", unit: "µs/item", want: want, got: func(r Result) float64 { return r.CPU }}
}

func memory(want float64) target {
	return target{what: "peak resident", unit: "MB", want: want, got: func(r Result) float64 { return float64(r.PeakRSS) / megabyte }}
}

func stored(want float64) target {
	return target{what: "stored", unit: "% of raw", want: want, got: func(r Result) float64 {
		if r.Stored == nil {
			return 0
		}
		return r.Stored.Share * 100
	}}
}

func (t target) orElse(o target) target {
	t.or = &o
	return t
}
