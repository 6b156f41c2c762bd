package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Ledger is the account as its keeper last saw it.
type Ledger struct {
	At     time.Time `json:"at"`
	Keeper string    `json:"keeper"` // the process that keeps it
	// OK: nothing is missing and every required durable is there.
	OK bool `json:"ok"`
	// Problems are why not.
	Problems []string `json:"problems"`
	// Notes are what an operator should know and that is no loss.
	Notes   []string  `json:"notes,omitempty"`
	Streams []Stream  `json:"streams"`
	Signals []Row     `json:"signals"`
	Tenants []Tenant  `json:"tenants"`
	Refused []Refused `json:"refused"`
	// Unrouted is what no destination wants: it stays for the replay window and is
	// purged then.
	Unrouted []Unrouted `json:"unrouted,omitempty"`
	// TenantsLeftOut had no room in Tenants; they are in Signals.
	TenantsLeftOut int `json:"tenants_left_out,omitempty"`
}

// Stream is what was accepted on one stream since the ledger began.
type Stream struct {
	Stream     string `json:"stream"`
	Signal     string `json:"signal"`
	Counted    uint64 `json:"counted_sequence"`
	Accepted   Sum    `json:"accepted"`
	Uncounted  uint64 `json:"uncounted_messages,omitempty"`  // were gone before they were counted
	Unreadable uint64 `json:"unreadable_messages,omitempty"` // do not tell their items
}

// Row is what became of the items of a signal for a destination:
//
//	accepted + delivered_again + counted_twice =
//	    pending + exported + rejected + dead_lettered + redriven + unwanted + purged + missing + uncounted + balance
type Row struct {
	Signal      string `json:"signal"`
	Destination string `json:"destination"`
	Accepted    uint64 `json:"accepted"`
	Pending     uint64 `json:"pending"`
	// PendingEstimated: some of what lies above the ack floor is settled, and the
	// items of the rest are estimated.
	PendingEstimated bool   `json:"pending_estimated,omitempty"`
	Exported         uint64 `json:"exported"`
	Rejected         uint64 `json:"rejected"` // by the destination, in partial successes
	DeadLettered     uint64 `json:"dead_lettered"`
	Redriven         uint64 `json:"redriven"` // were dead letters
	Unwanted         uint64 `json:"unwanted"` // by the destination's own routes; never sent
	Purged           uint64 `json:"purged"`   // by an operator
	// Missing left the queue and nobody delivered it.
	Missing uint64 `json:"missing"`
	// Uncounted were settled by processes that have not told it yet, or that died
	// before they could.
	Uncounted uint64 `json:"uncounted"`
	// DeliveredAgain were settled twice because the durable was made anew.
	DeliveredAgain uint64 `json:"delivered_again,omitempty"`
	// CountedTwice were told of by two processes, of which the first died, or lost
	// its acknowledgement.
	CountedTwice       uint64 `json:"counted_twice,omitempty"`
	PossibleDuplicates uint64 `json:"possible_duplicates"`
	// Balance is 0 when nothing is under way.
	Balance int64 `json:"balance"`
	// Explained is how much may be uncounted for good because of processes that
	// died without a word.
	Explained uint64 `json:"explained,omitempty"`
	Dropped   bool   `json:"dropped,omitempty"` // an operator gave the destination up
}

// Tenant is the same for one tenant. What is not settled and what is not counted
// cannot be told apart here: it is Open.
type Tenant struct {
	Tenant             string `json:"tenant"`
	Signal             string `json:"signal"`
	Destination        string `json:"destination"`
	Accepted           uint64 `json:"accepted"`
	AcceptedBytes      uint64 `json:"accepted_bytes"`
	Exported           uint64 `json:"exported"`
	Rejected           uint64 `json:"rejected"`
	DeadLettered       uint64 `json:"dead_lettered"`
	Redriven           uint64 `json:"redriven"`
	Unwanted           uint64 `json:"unwanted"`
	Purged             uint64 `json:"purged"`
	PossibleDuplicates uint64 `json:"possible_duplicates"`
	Open               uint64 `json:"open"`
}

// Refused is what gateways did not take.
type Refused struct {
	Signal string `json:"signal"`
	// Answered were answered with success; Duplicates of these were stored before.
	Answered   uint64            `json:"answered"`
	Duplicates uint64            `json:"duplicates"`
	Refused    uint64            `json:"refused"`
	Reasons    map[string]uint64 `json:"reasons"`
}

// Unrouted are items of a signal that no destination wants.
type Unrouted struct {
	Signal string `json:"signal"`
	Items  uint64 `json:"items"`
}

// ErrNone: no process has kept a ledger yet.
var ErrNone = errors.New("there is no ledger yet: it is kept by gateways, from their first look on")

// staleAfter is when nobody keeps the ledger any more, with room for clocks that
// differ.
const staleAfter = 2 * time.Minute

// Read returns the ledger as its keeper left it. One that is old is not OK.
func Read(ctx context.Context, s queue.Store) (Ledger, error) {
	v, err := s.Load(ctx, keyView)
	if errors.Is(err, queue.ErrNotFound) {
		return Ledger{}, ErrNone
	}
	if err != nil {
		return Ledger{}, fmt.Errorf("read the ledger: %w", err)
	}
	var l Ledger
	if err := json.Unmarshal(v.Data, &l); err != nil {
		return Ledger{}, fmt.Errorf("read the ledger: %w; a newer version may have written it", err)
	}
	if age := time.Since(l.At); age > staleAfter {
		l.OK = false
		l.Problems = append(l.Problems, fmt.Sprintf("the ledger is of %s ago, when %s kept it: no gateway keeps it now", age.Round(time.Second), l.Keeper))
	}
	return l, nil
}

// Row is that of a signal and destination; false when there is none.
func (l Ledger) Row(signal, destination string) (Row, bool) {
	for _, r := range l.Signals {
		if r.Signal == signal && r.Destination == destination {
			return r, true
		}
	}
	return Row{}, false
}
