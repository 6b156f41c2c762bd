package conformance

import (
	"context"
	"slices"
	"strings"
)

// Row is one rule of the specification.
type Row struct {
	// ID as in the table of README.md: T transport, G server over gRPC, C client
	// over gRPC, H server over HTTP, K client over HTTP, J JSON, D data, X beyond
	// the specification.
	ID string `json:"id"`
	// Level is the specification's own word: MUST, SHOULD, MAY and their
	// opposites; "stated" where it says how things are without such a word, and
	// "beyond" where it says nothing.
	Level string `json:"level"`
	// Section of the specification, 1.11.
	Section string `json:"section"`
	// Rule in our own words.
	Rule string `json:"rule"`

	needs need
	run   func(*check)
}

// need is what a row cannot do without.
type need uint8

const (
	needGRPC        need = 1 << iota // the endpoint's gRPC address
	needHTTP                         // its URL
	needBackendGRPC                  // it exports to the suite over gRPC
	needBackendHTTP                  // it exports to the suite over HTTP
)

var needText = []string{
	"no -grpc address was given", "no -http URL was given",
	"no -backend-grpc was given, to which the endpoint exports", "no -backend-http was given, to which the endpoint exports",
}

// binding tells whether a failure of the row fails the run.
func (r *Row) binding() bool {
	return strings.Contains(r.Level, "MUST") || strings.Contains(r.Level, "SHOULD") || strings.Contains(r.Level, "RECOMMENDED")
}

// beyond rows can only note.
func (r *Row) beyond() bool { return r.Level == "beyond" }

// Rows lists every row, in the order in which they run.
func Rows() []Row {
	return slices.Concat(transportRows, grpcRows, httpRows, jsonRows, dataRows, grpcClientRows, httpClientRows, beyondRows, lastRows)
}

// Case is one way to look at a row.
type Case struct {
	Name string `json:"name"`
	Verdict
}

// check is one row under way.
type check struct {
	*suite
	ctx   context.Context
	row   *Row
	cases []Case
}

// try runs one case.
func (c *check) try(name string, f func(ctx context.Context) Verdict) {
	if c.ctx.Err() != nil {
		c.cases = append(c.cases, Case{name, notApplicable("the run was ended before")})
		return
	}
	v := f(c.ctx)
	if v.Outcome == Fail && c.row.beyond() {
		v = noted("%s, seen: %s", v.Expected, v.Seen)
	}
	c.cases = append(c.cases, Case{name, v})
}

// each runs a case for every signal.
func (c *check) each(name string, f func(ctx context.Context, s signal) Verdict) {
	for _, s := range c.signals {
		c.try(name+", "+s.name, func(ctx context.Context) Verdict { return f(ctx, s) })
	}
}
