package deadletter

import (
	"fmt"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Filter picks letters: those that have everything it asks for. The zero value
// picks all. Names are compared as the letters have them: a destination that was
// renamed or removed since is found by its old name.
type Filter struct {
	Destination string `json:"destination,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Code        string `json:"code,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	Signal      string `json:"signal,omitempty"`
	Stream      string `json:"stream,omitempty"` // where the message lay
	// Since and Until bound KeptAt, by the queue's clock: from Since on and
	// before Until. Zero: no bound.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// IDs are of messages or of letters, Sequences of letters; one of them has
	// to be the letter's. Empty: any.
	IDs       []string `json:"ids,omitempty"`
	Sequences []uint64 `json:"sequences,omitempty"`
	// UpTo is the last sequence wanted: what was shown to an operator is then
	// what is acted on. 0: no bound.
	UpTo uint64 `json:"up_to,omitempty"`
}

// MaxNamed is how many IDs, and how many Sequences, a Filter may have.
const MaxNamed = 10_000

// Validate finds what can match nothing by mistake. Reasons are not checked: a
// newer program may write more.
func (f Filter) Validate() error {
	if f.Signal != "" {
		if _, err := otlp.ParseSignal(f.Signal); err != nil {
			return err
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return fmt.Errorf("since %s is not before until %s", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	}
	if n := max(len(f.IDs), len(f.Sequences)); n > MaxNamed {
		return fmt.Errorf("%d letters are named: name at most %d at a time", n, MaxNamed)
	}
	if slices.Contains(f.Sequences, 0) {
		return fmt.Errorf("0 is no sequence: they begin with 1")
	}
	return nil
}

// Everything tells whether the filter picks all letters.
func (f Filter) Everything() bool {
	return f.Destination == "" && f.Reason == "" && f.Code == "" && f.Tenant == "" && f.Signal == "" && f.Stream == "" &&
		f.Since.IsZero() && f.Until.IsZero() && len(f.IDs) == 0 && len(f.Sequences) == 0 && f.UpTo == 0
}

// Match tells whether the letter is one of those.
func (f Filter) Match(i Info) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	switch {
	case !is(f.Destination, i.Destination), !is(f.Reason, i.Reason), !is(f.Code, i.Code), !is(f.Tenant, i.Tenant),
		!is(f.Signal, i.Signal), !is(f.Stream, i.Stream):
		return false
	case !f.Since.IsZero() && i.KeptAt.Before(f.Since), !f.Until.IsZero() && !i.KeptAt.Before(f.Until):
		return false
	case f.UpTo > 0 && i.Sequence > f.UpTo:
		return false
	case len(f.Sequences) > 0 && !slices.Contains(f.Sequences, i.Sequence):
		return false
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, i.LetterID) && (i.ID == "" || !slices.Contains(f.IDs, i.ID)):
		return false
	}
	return true
}
