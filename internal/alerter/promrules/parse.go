package promrules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// MaxFileBytes bounds a rule file.
const MaxFileBytes = 8 << 20

const scheme = model.UTF8Validation

// exprs is safe for concurrent use.
var exprs = parser.NewParser(parser.Options{})

// File is a rule file that was accepted. It does not change.
type File struct {
	name   string
	groups *rulefmt.RuleGroups
	rules  []rule
}

// rule is what is to be known of one without evaluating it.
type rule struct {
	group, name string
	records     bool
	expr        parser.Expr
	hold        model.Duration // for and keep_firing_for
	offset      model.Duration // query_offset of the group
	asks        []parser.Expr  // what its templates query
	asksAny     bool           // a template queries what is known only when it runs
}

// Parse reads a Prometheus rule file. name tells files apart: it is part of the
// identity of a group and moves its slots, so that it must be the same in every
// replica. Unknown keys and further documents are errors. The error is Problems;
// text is not kept.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > MaxFileBytes {
		return nil, Problems{{File: name, Text: fmt.Sprintf("is %d bytes, want at most %d: split it", len(text), MaxFileBytes)}}
	}
	if p := secondDocument(name, text); p != nil {
		return nil, Problems{p}
	}
	groups, errs := rulefmt.Parse(text, false, scheme, exprs, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		var all Problems
		for _, err := range errs {
			all = append(all, problem(name, err))
		}
		return nil, all
	}
	f := &File{name: name, groups: groups}
	for _, g := range groups.Groups {
		for i, r := range g.Rules {
			expr, err := exprs.ParseExpr(r.Expr)
			if err != nil { // it was parsed a moment ago
				return nil, Problems{{File: name, Group: g.Name, Index: i + 1, Rule: r.Alert + r.Record, Text: err.Error()}}
			}
			one := rule{group: g.Name, name: r.Alert + r.Record, records: r.Record != "", expr: expr, hold: r.For + r.KeepFiringFor}
			if g.QueryOffset != nil {
				one.offset = *g.QueryOffset
			}
			one.asks, one.asksAny = queriesOf(r)
			f.rules = append(f.rules, one)
		}
	}
	return f, nil
}

// secondDocument refuses what upstream passes over with a line in its log.
func secondDocument(name string, text []byte) *Problem {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var node yaml.Node
	if err := d.Decode(&node); err != nil { // told by the parser, better; and empty is a file without groups
		return nil
	}
	if err := d.Decode(&node); !errors.Is(err, io.EOF) {
		return &Problem{File: name, Line: node.Line, Text: "has a second YAML document: put all groups into one"}
	}
	return nil
}

// Name is that of Parse.
func (f *File) Name() string { return f.name }
