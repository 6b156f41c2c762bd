package promrules

import (
	"regexp"
	"strconv"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// actions are the parts of a template that do something.
var actions = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

// queries finds the function query and what follows it, literals apart.
var queries = regexp.MustCompile("\\bquery\\b\\s*(\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`)?")

// queriesOf lists the expressions that templates of a rule query. open: there is
// one that is put together when the template runs.
func queriesOf(r rulefmt.Rule) (list []parser.Expr, open bool) {
	for _, texts := range []map[string]string{r.Labels, r.Annotations} {
		for _, text := range texts {
			for _, action := range actions.FindAllString(text, -1) {
				for _, m := range queries.FindAllStringSubmatch(action, -1) {
					literal, err := strconv.Unquote(m[1])
					if err != nil {
						open = true
						continue
					}
					expr, err := exprs.ParseExpr(literal)
					if err != nil { // fails when it runs, and reads nothing
						continue
					}
					list = append(list, expr)
				}
			}
		}
	}
	return list, open
}
