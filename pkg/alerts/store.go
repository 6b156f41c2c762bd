package alerts

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Store is what replicas share beside the Log. It may lose everything. Calls return
// within about a second, with an error when the store does not answer. They are
// safe for concurrent use.
type Store interface {
	Claims
	Timers
	// Ready is nil when the store answers.
	Ready(ctx context.Context) error
	// Close ends connections. It is idempotent.
	Close() error
}

// ErrLost: another has claimed the key since. What was sent may be sent again.
var ErrLost = errors.New("the claim was taken over")

// Claims let one of many replicas send. All times are by the clock of the store.
type Claims interface {
	// Claim compares what is wanted with what was sent last, and if it has to be
	// sent gives the right to do so for lease, to one caller.
	Claim(ctx context.Context, k ClaimKey, want Want, lease time.Duration) (Answer, error)
	// Commit records what was sent and ends the claim; ErrLost, and nothing is
	// recorded, when the token is not the last one given, or was released. A second
	// time changes nothing. What is in sent stays the caller's.
	Commit(ctx context.Context, k ClaimKey, token uint64, sent Sent) error
	// Release ends the claim after a failure; nobody gets it before retry has
	// passed. ErrLost as in Commit, and when that was called.
	Release(ctx context.Context, k ClaimKey, token uint64, retry time.Duration) error
	// Restore puts back what the Log knows was sent; what the store has and is not
	// older stays.
	Restore(ctx context.Context, k ClaimKey, sent Sent) error
}

// ClaimKey is a group of a receiver's integration.
type ClaimKey struct {
	Tenant   string `json:"tenant,omitempty"`
	Group    string `json:"group"`
	Receiver string `json:"receiver"` // name/kind/index
}

// Want is what is to be told now, both lists sorted.
type Want struct {
	Firing, Resolved []Key
	// Repeat is after how long the same is told again; 0: never.
	Repeat time.Duration
	// Always: it is sent whatever was sent before, as a level of a policy is.
	Always bool
	// SendResolved: the receiver wants to hear of the end.
	SendResolved bool
}

// Sent is what was told last.
type Sent struct {
	Firing   []Key     `json:"firing,omitempty"`
	Resolved []Key     `json:"resolved,omitempty"`
	At       time.Time `json:"at"`
	Token    uint64    `json:"token,omitempty"`
	Data     []byte    `json:"data,omitempty"` // the receiver's own, as a thread to go on with
}

// Clone shares nothing.
func (s Sent) Clone() Sent {
	s.Firing, s.Resolved, s.Data = slices.Clone(s.Firing), slices.Clone(s.Resolved), slices.Clone(s.Data)
	return s
}

// Needed tells whether want has to be sent after last, whose zero value is never.
// Stores decide by it, or by the same in their own language.
func (want Want) Needed(last Sent, now time.Time) bool {
	switch {
	case want.Always:
		return true
	case len(last.Firing) == 0 && len(want.Firing) == 0: // nobody was told that it fires
		return false
	case !subset(want.Firing, last.Firing):
		return true
	case len(want.Firing) == 0: // the end, which everybody who got the beginning hears of
		return want.SendResolved
	case want.SendResolved && !subset(want.Resolved, last.Resolved):
		return true
	}
	return want.Repeat > 0 && !now.Before(last.At.Add(want.Repeat))
}

// subset tells whether all of a are in b.
func subset(a, b []Key) bool {
	set := make(map[Key]bool, len(b))
	for _, k := range b {
		set[k] = true
	}
	for _, k := range a {
		if !set[k] {
			return false
		}
	}
	return true
}

// Verdict of a claim.
type Verdict uint8

// Go: send. NotNeeded: it was sent. Held: another sends, or waits before it tries
// again.
const (
	Go Verdict = iota + 1
	NotNeeded
	Held
)

// Answer to a claim.
type Answer struct {
	Verdict Verdict
	Token   uint64        // with Go; rises with each claim of the key
	Wait    time.Duration // with Held: ask again then
	Last    Sent
}

// Timers are given out at or after their time, at least once. They are hints:
// whoever takes one asks the state what there is to do, so one that is lost is set
// again by the next evaluation, and one too many does nothing.
type Timers interface {
	// Arm sets the timer of the ID, by the store's clock. A lower generation than
	// the one that is set changes nothing.
	Arm(ctx context.Context, t Timer) error
	// Take gives up to limit timers that are due, the oldest of each part of the store
	// first, to one caller;
	// one that is not Done within lease is given again. With an error there may be
	// some too: from the part of the store that answers.
	Take(ctx context.Context, limit int, lease time.Duration) ([]Timer, error)
	// Done removes a timer that was taken, unless it was armed again or taken by
	// another since.
	Done(ctx context.Context, t Timer) error
	// NextDue is how long nothing is due, at most most.
	NextDue(ctx context.Context, most time.Duration) (time.Duration, error)
}

// Timer of an incident or a delivery.
type Timer struct {
	Tenant, ID string
	Generation uint64
	After      time.Duration // of Arm
	Lease      uint64        // of Take: which taking it is
}
