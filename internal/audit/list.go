package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// MaxListed is how many entries a List gives at most.
const MaxListed = 1000

// Filter says which entries are wanted; what is empty says nothing.
type Filter struct {
	// Since and Until are of when the queue stored the entry.
	Since, Until time.Time
	// Action and Subject are texts that it has in it, in any case; Outcome is it.
	Action, Subject, Outcome string
}

// Validate says what is wrong with f, for people.
func (f Filter) Validate() error {
	switch f.Outcome {
	case "", Done, Failed, Refused:
	default:
		return fmt.Errorf("outcome is %q: want done, failed or refused", clean(f.Outcome, maxText))
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return fmt.Errorf("since is %s and until is %s: nothing is between", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	}
	return nil
}

// Item is an entry as it is listed.
type Item struct {
	N        uint64    `json:"n" doc:"Number of the entry."`
	StoredAt time.Time `json:"stored_at" doc:"When the queue stored it."`
	Hash     string    `json:"hash" doc:"SHA-256 of its bytes as stored."`
	Purged   *Head     `json:"purged,omitempty" doc:"The last of the entries that were removed after it."`
	Event    Event     `json:"event"`
	Problem  string    `json:"problem,omitempty" doc:"Why it is no entry: another program wrote it."`
}

func (f Filter) takes(i Item) bool {
	has := func(s, part string) bool {
		return part == "" || strings.Contains(strings.ToLower(s), strings.ToLower(part))
	}
	return (f.Until.IsZero() || i.StoredAt.Before(f.Until)) && !i.StoredAt.Before(f.Since) &&
		has(i.Event.Action, f.Action) && has(i.Event.Subject, f.Subject) && (f.Outcome == "" || i.Event.Outcome == f.Outcome)
}

func item(e queue.Entry) Item {
	i := Item{N: e.Sequence, StoredAt: e.StoredAt.UTC(), Hash: hashOf(e.Message.Body)}
	entry, err := parse(e.Message.Body)
	if err != nil {
		i.Problem = err.Error()
		return i
	}
	// Somebody else may have written it.
	i.Purged, i.Event = entry.Purged, entry.Event.bounded()
	return i
}

// List gives entries behind after, oldest first, at most limit; with newest the
// last of them in place of the first. last is up to where it has looked: the after
// of the next List. Without a stream there is none.
func List(ctx context.Context, q Queue, f Filter, after uint64, limit int, newest bool) (items []Item, last uint64, err error) {
	items = []Item{}
	if limit <= 0 || limit > MaxListed {
		limit = MaxListed
	}
	st, err := q.StreamState(ctx, topology.Audit)
	if errors.Is(err, queue.ErrNotFound) {
		return items, after, nil
	}
	if err != nil {
		return nil, 0, err
	}
	from := max(after+1, st.FirstSeq)
	if !f.Since.IsZero() {
		at, err := q.SequenceAt(ctx, topology.Audit, f.Since)
		if err != nil {
			return nil, 0, err
		}
		from = max(from, at)
	}
	if from > st.LastSeq {
		return items, max(after, st.LastSeq), nil
	}
	r, err := newReader(ctx, q, from)
	if err != nil {
		return nil, 0, err
	}
	defer r.close()
	for {
		e, ok, err := r.next(ctx, st.LastSeq)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			return items, max(after, st.LastSeq), nil
		}
		i := item(e)
		if !f.takes(i) {
			continue
		}
		switch {
		case len(items) < limit:
			items = append(items, i)
		case newest:
			items = append(items[1:], i)
		}
		if len(items) == limit && !newest {
			return items, i.N, nil
		}
	}
}
