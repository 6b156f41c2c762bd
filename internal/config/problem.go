package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in the configuration.
type Problem struct {
	// Source is where it was written: a file's name, "environment variable X",
	// "flag --set". Empty when the value is a default.
	Source string
	// Line and Column count from 1; 0 where the source has none.
	Line, Column int
	// Key is the dotted path, "destinations[0].name". Empty for the whole.
	Key string
	Msg string
	err error
}

// Error is "penstock.yaml:12:5: gateway.grpc.lisen: unknown key; ...".
func (p Problem) Error() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
			if p.Column > 0 {
				fmt.Fprintf(&b, ":%d", p.Column)
			}
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Msg)
	return b.String()
}

// Unwrap is what Validate returned, if it was that which failed.
func (p Problem) Unwrap() error { return p.err }

// Problems are all mistakes of one Load. It is the error that Load returns for
// what a user wrote; errors.As finds it.
type Problems []Problem

// Error has one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As each problem.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i := range p {
		errs[i] = p[i]
	}
	return errs
}

// sorted orders by source as first seen, then line: a reader goes through the
// file once.
func (p Problems) sorted() Problems {
	rank := map[string]int{}
	for _, x := range p {
		if _, ok := rank[x.Source]; !ok {
			rank[x.Source] = len(rank)
		}
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.Source], rank[b.Source]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}

// keyError is an error about a key below the struct whose Validate returns it.
type keyError struct {
	key string
	err error
}

func (e *keyError) Error() string { return e.key + ": " + e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// KeyError is what a Validate returns to blame one key of its struct; the
// loader adds the path in front and the line it was written on. The key may be
// dotted and may have an index: "endpoints[2]". Format is as in fmt.Errorf and
// reads on from the key: "must be above 0, not %d".
func KeyError(key, format string, args ...any) error {
	return &keyError{key: key, err: fmt.Errorf(format, args...)}
}

// nearest finds the candidate that was most likely meant, or "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+max(2, len(word)/3)
	for _, c := range candidates {
		if d := distance(word, c); d < bestDistance && d < max(len(word), len(c)) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is Levenshtein's, without regard to case and to - against _.
func distance(a, b string) int {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	a, b = fold(a), fold(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal, row[j] = row[j], min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
