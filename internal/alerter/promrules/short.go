package promrules

import (
	"errors"

	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// fromShort makes Prometheus' form of the short one. place finds a rule of it in
// the text that was written; nil when that was Prometheus' form.
func fromShort(name string, text []byte) (out []byte, place func(group string, index int) (int, int), bad Problems) {
	out, from, err := rules.Text(name, text, Names{})
	var told rules.Problems
	switch {
	case errors.As(err, &told):
		for _, p := range told {
			bad = append(bad, &Problem{File: p.File, Rule: p.Rule, Index: p.Index, Line: p.Line, Text: p.Text})
		}
		return nil, nil, bad
	case err != nil:
		return nil, nil, Problems{{File: name, Text: err.Error()}}
	case from == nil:
		return out, nil, nil
	}
	return out, func(group string, index int) (int, int) {
		if s := from[group]; index > 0 && index <= len(s) {
			return s[index-1].Line, s[index-1].Index
		}
		return 0, 0
	}, nil
}
