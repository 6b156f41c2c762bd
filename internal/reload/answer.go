package reload

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Outcomes of a reload.
const (
	Applied   = "applied"          // something changed and is in effect
	Unchanged = "unchanged"        // nothing differs from what runs
	Restart   = "restart_required" // something changed, and all of it waits for a restart
	Refused   = "refused"          // nothing was changed
)

// Outcomes are all of them.
var Outcomes = []string{Applied, Unchanged, Restart, Refused}

// Answer is how a reload ended.
type Answer struct {
	Outcome string    `json:"outcome"`
	At      time.Time `json:"at"`
	// Hash names the configuration that runs now; see config.Hash.
	Hash string `json:"hash"`
	// Applied are keys that changed and are in effect.
	Applied []string `json:"applied"`
	// Waiting are keys of which the sources say something else than what runs,
	// and that only a restart can change.
	Waiting []string `json:"restart_required"`
	// Problems say why it was refused.
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one reason of a refusal.
type Problem struct {
	// Source is where it was written: a file, a variable, a flag; "" if nowhere.
	Source string `json:"source,omitempty"`
	// Line and Column count from 1; 0: not known.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Key is the dotted path, "" for the whole.
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

// String is one line.
func (p Problem) String() string {
	return config.Problem{Source: p.Source, Line: p.Line, Column: p.Column, Key: p.Key, Msg: p.Message}.Error()
}

// problems are those of an error.
func problems(err error) []Problem {
	var many config.Problems
	if !errors.As(err, &many) {
		return []Problem{{Message: err.Error()}}
	}
	out := make([]Problem, len(many))
	for i, p := range many {
		out[i] = Problem{Source: p.Source, Line: p.Line, Column: p.Column, Key: p.Key, Message: p.Msg}
	}
	return out
}

// Text is all problems, one a line.
func (a Answer) Text() string {
	lines := make([]string, len(a.Problems))
	for i, p := range a.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxNamed bounds the keys that a line of the log names.
const maxNamed = 50

// named is a list for a log.
func named(keys []string) string {
	if len(keys) > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(keys[:maxNamed], ", "), len(keys)-maxNamed)
	}
	return strings.Join(keys, ", ")
}
