package promrules

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"

	short "github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// MaxHold is for how long an alert whose rule says hold goes on without data. What
// has not come by then is not late, it is gone.
const MaxHold = time.Hour

// holds are the rules of a group that keep their alerts while data is missing, by
// identity. A group is evaluated by one goroutine at a time.
type holds map[string]*hold

// hold remembers what a rule found.
type hold struct {
	known string        // has a value wherever there is data, whatever it says
	wait  time.Duration // the for of the rule

	at     time.Time // when it was asked last
	answer promql.Vector
	found  map[string]*finding // by labels
	kept   int                 // of answer, those without data
}

// finding is one element of an answer.
type finding struct {
	sample      promql.Sample
	since, seen time.Time // first and last slot of the run in which it was found
}

// holdsOf finds the rules of a group that hold. Parse has accepted them.
func holdsOf(g *rules.Group) holds {
	all := holds{}
	for _, r := range g.AlertingRules() {
		if r.Annotations().Get(short.HoldAnnotation) != short.AbsentHold {
			continue
		}
		known, err := knownOf(r.Query().String())
		if err != nil { // Parse said the same, and refused it
			continue
		}
		all[identity(rules.NewRuleDetail(r))] = &hold{known: known, wait: r.HoldDuration(), found: map[string]*finding{}}
	}
	return all
}

// takeOver goes on with what rules found that are still there.
func (h holds) takeOver(from holds) {
	for id, one := range h {
		if old := from[id]; old != nil {
			one.at, one.answer, one.found, one.kept = old.at, old.answer, old.found, old.kept
		}
	}
}

func identity(d rules.RuleDetail) string {
	return d.Name + "\x00" + d.Query + "\x00" + d.Labels.String()
}

// checkHold looks at what a rule says of absence; "" when it is right.
func checkHold(policy string, query string) string {
	switch policy {
	case "", short.AbsentOK:
		return ""
	case short.AbsentHold:
		if _, err := knownOf(query); err != nil {
			return fmt.Sprintf("annotation %s: hold: %v", short.HoldAnnotation, err)
		}
		return ""
	case short.AbsentFire:
		return fmt.Sprintf("annotation %s: fire is written in the expression: add a rule of the same name with absent(…) or absent_over_time(…)", short.HoldAnnotation)
	}
	return fmt.Sprintf("annotation %s: %q is unknown, want ok or hold", short.HoldAnnotation, policy)
}

// knownOf changes an expression so that it has an element for everything of which
// there is data: comparisons answer 0 or 1 instead of leaving out.
func knownOf(query string) (string, error) {
	expr, err := exprs.ParseExpr(query)
	if err != nil {
		return "", err
	}
	compares := false
	var bad error
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.BinaryExpr:
			switch {
			case n.Op.IsComparisonOperator():
				n.ReturnBool, compares = true, true
			case n.Op == parser.LUNLESS: // what its right side takes away is known
				n.Op, n.RHS = parser.LOR, n.LHS
			}
		case *parser.Call:
			if n.Func.Name == "absent" || n.Func.Name == "absent_over_time" {
				bad = fmt.Errorf("%s finds what hold passes over: put it into a rule of its own", n.Func.Name)
			}
		}
		return nil
	})
	switch {
	case bad != nil:
		return "", bad
	case !compares:
		return "", errors.New("the expression compares nothing, so that there is no telling what is missing from what is not wrong: write it as a comparison, such as x > 1")
	}
	return expr.String(), nil
}

// holdsKey is where Evaluate puts the holds of a group for its queries.
type holdsKey struct{}

// ruleQuery answers the queries of rules. Of one that holds the answer has what it
// found before and has no data of now.
func (e *Engine) ruleQuery(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
	all, _ := ctx.Value(holdsKey{}).(holds)
	if len(all) == 0 {
		return e.query(ctx, query, at)
	}
	from := rules.FromOriginContext(ctx)
	h := all[identity(from)]
	if h == nil || from.Query != query { // of a template
		return e.query(ctx, query, at)
	}
	if at.Equal(h.at) {
		return h.answer, nil
	}
	answer, err := e.query(ctx, query, at)
	if err != nil {
		return nil, err
	}
	return h.fill(answer, at, func() (promql.Vector, error) { return e.query(ctx, h.known, at) })
}

// fill adds what is kept. known is asked only when something is not there any more.
// After an error everything is as it was.
func (h *hold) fill(answer promql.Vector, at time.Time, known func() (promql.Vector, error)) (promql.Vector, error) {
	found := make(map[string]*finding, len(answer))
	for _, s := range answer {
		k := keyOf(s.Metric)
		f := &finding{sample: s, since: at, seen: at}
		if before := h.found[k]; before != nil {
			f.since = before.since
		}
		found[k] = f
	}
	h.kept = 0
	var there map[string]bool
	for k, f := range h.found {
		if found[k] != nil || f.seen.Sub(f.since) < h.wait || at.Sub(f.seen) >= MaxHold {
			continue // it is still so, or did not fire yet, or is gone
		}
		if there == nil {
			vector, err := known()
			if err != nil {
				return nil, err
			}
			there = make(map[string]bool, len(vector))
			for _, s := range vector {
				there[keyOf(s.Metric)] = true
			}
		}
		if !there[k] {
			found[k] = f
			s := f.sample
			s.T = at.UnixMilli()
			answer = append(answer, s)
			h.kept++
		}
	}
	h.at, h.answer, h.found = at, answer, found
	return answer, nil
}

// keyOf is who an element is, without the name that a comparison may take away.
func keyOf(ls labels.Labels) string {
	return labels.NewBuilder(ls).Del(model.MetricNameLabel).Labels().String()
}

// count is how many findings are kept without data.
func (h holds) count() (n int) {
	for _, one := range h {
		n += one.kept
	}
	return n
}
