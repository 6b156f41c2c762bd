package committer

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/internal/config"
)

// Result is what became of a request that was committed.
type Result struct {
	// Rejected items could not be stored at all, as Why says; the others are
	// durable. Answered to the client as partial success.
	Rejected int
	Why      string
}

// Ticket is a request's claim on the outcome of its groups. Wait must be called
// exactly once.
type Ticket struct {
	one     part
	more    []part // of a request that was split
	refused Result // what did not go into any group
}

// refuse rejects what cannot be cut and is larger than the configuration lets it be:
// no usual receiver would take it, and a commit that large makes all others wait.
func (t *Ticket) refuse(items, size, most int) {
	t.refused.Rejected += items
	if t.refused.Why == "" {
		t.refused.Why = fmt.Sprintf("%d item(s) of %d bytes with the resource: gateway.batch.max_item_bytes is %s; send less in one, or raise it as far as the destinations take it",
			items, size, config.ByteSize(most))
	}
}

type part struct {
	g     *group
	index int
}

// Refused tells whether anything of the request was above MaxItemBytes. It may be
// asked at once.
func (t *Ticket) Refused() bool { return t.refused.Why != "" }

// Wait returns when the request is durable, when that failed, or when ctx ends.
// In the last case the outcome is unknown: the group may still be committed.
func (t *Ticket) Wait(ctx context.Context) (Result, error) {
	r, err := t.one.wait(ctx)
	for _, p := range t.more {
		pr, perr := p.wait(ctx)
		r.Rejected += pr.Rejected
		if r.Why == "" {
			r.Why = pr.Why
		}
		err = errors.Join(err, perr)
	}
	r.Rejected += t.refused.Rejected
	if r.Why == "" {
		r.Why = t.refused.Why
	}
	return r, err
}

func (p part) wait(ctx context.Context) (Result, error) {
	if p.g == nil {
		return Result{}, nil
	}
	defer p.g.leave()
	select {
	case <-p.g.done:
	default:
		select {
		case <-p.g.done:
		case <-ctx.Done():
			return Result{}, ctx.Err()
		}
	}
	m := &p.g.members[p.index]
	return Result{Rejected: m.rejected, Why: m.why}, m.err
}
