package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// DeadAfter is for how long a ledger that does not go on keeps anything: a dead
// ledger must not fill the disk. What is purged then is counted as messages of
// unknown items.
const DeadAfter = 2 * time.Minute

// hold is what the keeper has counted, for the janitor.
type hold struct {
	Streams map[string]heldStream `json:"streams"`
}

type heldStream struct {
	Counted uint64   `json:"counted_sequence"`
	Readers []string `json:"readers"` // destinations whose beginning is known
}

// Holds tells the janitor what the ledger has not counted. It is safe for
// concurrent use.
type Holds struct {
	q    Queue
	plan topology.Plan
	log  *slog.Logger

	mu      sync.Mutex
	waits   map[string]wait // mu; by stream, of those that hold something
	ignored bool            // mu; a dead ledger, which was said
}

// wait is since when a stream is held at the same place.
type wait struct {
	at    spot
	since time.Time
}

type spot struct {
	from  uint64
	known bool
}

// NewHolds makes one.
func NewHolds(q Queue, plan topology.Plan, log *slog.Logger) *Holds {
	return &Holds{q: q, plan: plan, log: log, waits: map[string]wait{}}
}

// Needed is the lowest sequence of each stream that is not counted yet; 0 for one
// with a durable whose beginning is not known yet. A stream whose ledger does not
// go on for DeadAfter, by this process's own clock, is not held any more.
func (h *Holds) Needed(ctx context.Context) (map[string]uint64, error) {
	var kept hold
	switch v, err := h.q.Load(ctx, keyHold); {
	case err == nil:
		if err := json.Unmarshal(v.Data, &kept); err != nil {
			return nil, fmt.Errorf("read %s: %w", keyHold, err)
		}
	case !errors.Is(err, queue.ErrNotFound):
		return nil, fmt.Errorf("read %s: %w", keyHold, err)
	}
	needed := map[string]uint64{}
	h.mu.Lock()
	defer h.mu.Unlock()
	dead := ""
	for _, stream := range telemetry(h.plan) {
		st, err := h.q.StreamState(ctx, stream)
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", stream, err)
		}
		at, holds := held(kept.Streams, st)
		was := h.waits[stream]
		switch {
		case !holds:
			delete(h.waits, stream)
			continue
		case was.since.IsZero() || was.at != at:
			h.waits[stream] = wait{at, time.Now()}
		case time.Since(was.since) >= DeadAfter:
			dead = stream
			continue
		}
		needed[stream] = at.from
	}
	if (dead != "") != h.ignored {
		h.ignored = dead != ""
		if h.ignored {
			h.log.Error("the ledger does not go on: streams are purged without being counted", "stream", dead, "waited", DeadAfter.String())
		} else {
			h.log.Info("the ledger goes on: nothing is purged before it is counted")
		}
	}
	return needed, nil
}

// held is from where a stream is held, and whether it is.
func held(all map[string]heldStream, st queue.StreamState) (at spot, holds bool) {
	s, known := all[st.Name]
	if !known {
		return spot{}, st.Messages > 0
	}
	for _, c := range st.Consumers {
		if topology.IsDurable(c) && !slices.ContainsFunc(s.Readers, func(d string) bool { return topology.Durable(d) == c }) {
			return spot{known: true}, st.Messages > 0
		}
	}
	return spot{s.Counted + 1, true}, s.Counted < st.LastSeq
}

func telemetry(p topology.Plan) []string {
	all := p.AllStreams()
	return slices.DeleteFunc(all, func(name string) bool { return name == topology.DeadLetters })
}
