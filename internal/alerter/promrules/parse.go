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

	short "github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// MaxFileBytes bounds a rule file.
const MaxFileBytes = 8 << 20

const scheme = model.UTF8Validation

// exprs is safe for concurrent use.
var exprs = parser.NewParser(parser.Options{})

// File is a rule file that was accepted. It does not change.
type File struct {
	name   string
	text   []byte // in Prometheus' form
	groups *rulefmt.RuleGroups
	rules  []rule
}

// rule is what is to be known of one without evaluating it.
type rule struct {
	group, name string
	records     bool
	expr        parser.Expr
	waits       model.Duration // for
	hold        model.Duration // for, keep_firing_for and what it holds without data
	line        int            // where it begins
	offset      model.Duration // query_offset of the group
	asks        []parser.Expr  // what its templates query
	asksAny     bool           // a template queries what is known only when it runs
}

// Parse reads a rule file, Prometheus' own or one of the short form. name tells files
// apart: it is part of the identity of a group and moves its slots, so that it must
// be the same in every replica. Unknown keys and further documents are errors. The
// error is Problems; text is not kept.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > MaxFileBytes {
		return nil, Problems{{File: name, Text: fmt.Sprintf("is %d bytes, want at most %d: split it", len(text), MaxFileBytes)}}
	}
	if p := secondDocument(name, text); p != nil {
		return nil, Problems{p}
	}
	text, place, bad := fromShort(name, bytes.Clone(text))
	if bad != nil {
		return nil, bad
	}
	lines := linesOf(text)
	groups, errs := rulefmt.Parse(text, false, scheme, exprs, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		var all Problems
		for _, err := range errs {
			p := problem(name, err)
			if p.Line == 0 && p.Index > 0 { // upstream does not know it of everything
				p.Line = lines(p.Group, p.Index)
			}
			if place != nil { // the place in what was made is of no use
				p.Line, p.Index = place(p.Group, p.Index)
				p.Column, p.Group = 0, ""
			}
			all = append(all, p)
		}
		return nil, all
	}
	f := &File{name: name, text: text, groups: groups}
	for _, g := range groups.Groups {
		for i, r := range g.Rules {
			expr, err := exprs.ParseExpr(r.Expr)
			if err != nil { // it was parsed a moment ago
				return nil, Problems{{File: name, Group: g.Name, Index: i + 1, Rule: r.Alert + r.Record, Text: err.Error()}}
			}
			one := rule{group: g.Name, name: r.Alert + r.Record, records: r.Record != "", expr: expr, waits: r.For, hold: r.For + r.KeepFiringFor}
			if g.QueryOffset != nil {
				one.offset = *g.QueryOffset
			}
			if one.line = lines(g.Name, i+1); place != nil {
				one.line, _ = place(g.Name, i+1)
			}
			policy := r.Annotations[short.HoldAnnotation]
			if text := checkHold(policy, r.Expr); text != "" {
				bad = append(bad, &Problem{File: name, Group: g.Name, Index: i + 1, Rule: r.Alert, Line: one.line, Text: text})
			}
			if policy == short.AbsentHold {
				one.hold += model.Duration(MaxHold)
			}
			one.asks, one.asksAny = queriesOf(r)
			f.rules = append(f.rules, one)
		}
	}
	if len(bad) > 0 {
		return nil, bad
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

// linesOf finds where a rule of a group begins, by its place from 1; 0 when that is
// not to be found.
func linesOf(text []byte) func(group string, index int) int {
	var doc struct {
		Groups []struct {
			Name  string      `yaml:"name"`
			Rules []yaml.Node `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil { // the parser tells it
		return func(string, int) int { return 0 }
	}
	return func(group string, index int) int {
		for _, g := range doc.Groups {
			if g.Name == group && index > 0 && index <= len(g.Rules) {
				return g.Rules[index-1].Line
			}
		}
		return 0
	}
}

// Name is that of Parse.
func (f *File) Name() string { return f.name }

// Text is the file in Prometheus' form: what Parse was given, or what was made of
// the short form.
func (f *File) Text() []byte { return bytes.Clone(f.text) }
