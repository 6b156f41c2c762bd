// Package rules has the short form of a rule, for whoever does not want to write
// PromQL, and the rules that come with Penstock. It knows no PromQL engine: text
// goes in, the text of an ordinary Prometheus rule file comes out.
//
//	rules:                                    groups:
//	  - alert: HighCPU                          - name: rules
//	    metric: system.cpu.utilization            rules:
//	    unit: "1"                   ──Text──▶       - alert: HighCPU
//	    where: {state: idle}                          expr: avg by (host_name) (avg_over_time(…[5m])) < 0.2
//	    agg: avg                                      for: 5m
//	    …                                             labels: {severity: critical}
//
// # Guarantees
//
//   - A file in Prometheus' own form is given back byte for byte.
//   - A file is taken whole or not at all; every problem of it is told at once,
//     with its line, its rule and what to do.
//   - The same text gives the same text: no order depends on chance. Whatever is in
//     a name or a value, it cannot become another part of an expression.
//   - A threshold with a unit is in the unit of the metric, or refused.
package rules

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	File string
	// Rule is the name of the rule, "" when it has none; Index its place in the
	// file, from 1, 0 when the problem is of none.
	Rule  string
	Index int
	Line  int // 0: not known
	Text  string
}

func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Index > 0 {
		fmt.Fprintf(&b, ": rule %d %q", p.Index, p.Rule)
	}
	return b.String() + ": " + p.Text
}

// Problems are all of one file.
type Problems []*Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}
