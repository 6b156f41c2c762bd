package promrules

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/rulefmt"
)

// Problem is one thing that is wrong with a rule file.
type Problem struct {
	File string
	// Group and Rule are "" where the problem is not of one; Index is the place of
	// the rule in its group, from 1.
	Group, Rule string
	Index       int
	// Line and Column are 0 where they are not known.
	Line, Column int
	Text         string
}

// Error has what is known, in the form file:line:column.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, ":%d", p.Column)
	}
	if p.Group != "" {
		fmt.Fprintf(&b, ": group %q", p.Group)
	}
	if p.Index > 0 {
		between := ":" // of the short form: it has no groups
		if p.Group != "" {
			between = ","
		}
		fmt.Fprintf(&b, "%s rule %d %q", between, p.Index, p.Rule)
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

var (
	placeOf  = regexp.MustCompile(`^(\d+):(\d+): (?:\d+:\d+: )?`)
	yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s*)?line (\d+): `)
)

// problem reads an error of the upstream parser, which has the place in its text.
func problem(file string, err error) *Problem {
	p := &Problem{File: file, Text: err.Error()}
	var rule *rulefmt.Error
	if errors.As(err, &rule) {
		p.Group, p.Rule, p.Index, p.Text = rule.Group, rule.RuleName, rule.Rule, rule.Err.Error()
	}
	if m := placeOf.FindStringSubmatch(p.Text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Column, _ = strconv.Atoi(m[2])
		p.Text = p.Text[len(m[0]):]
	} else if m := yamlLine.FindStringSubmatch(p.Text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Text = p.Text[len(m[0]):]
	}
	return p
}
