package janitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// floor is how far every destination has come on a stream.
type floor struct {
	seq     uint64
	by      string   // the durable that is the furthest behind; "" when there is none
	missing []string // durables that the plan wants and that are not there
	others  bool     // by is none of the plan's

	top  uint64 // what may be purged: seq, or less for a hold; see limit
	hold *Hold  // that keeps something which every destination has
}

// limit sets top.
func (f *floor) limit(h Hold) {
	f.top = f.seq
	if h != (Hold{}) && h.From <= f.seq {
		f.top, f.hold = max(h.From, 1)-1, &h
	}
}

// waitsFor names what keeps the floor where it is.
func (f floor) waitsFor() string {
	switch {
	case len(f.missing) > 0:
		return strings.Join(f.missing, ", ")
	case f.hold != nil:
		return f.hold.By
	case f.by == "":
		return "nobody: no destination takes this stream"
	}
	return f.by
}

// errChanged skips a round: what was listed was gone when it was looked at.
var errChanged = errors.New("a consumer vanished while it was looked at")

// floorOf looks at every durable of a destination. st was read before.
func (j *Janitor) floorOf(ctx context.Context, s otlp.Signal, st queue.StreamState) (floor, error) {
	var planned []string
	for _, d := range j.o.Plan.Destinations {
		if d.Takes(s) {
			planned = append(planned, topology.Durable(d.Name))
		}
	}
	names := slices.Clone(planned)
	for _, name := range st.Consumers {
		if topology.IsDurable(name) && !slices.Contains(planned, name) {
			names = append(names, name)
		}
	}
	f := floor{seq: st.LastSeq}
	for i, name := range names {
		c, err := j.o.Queue.ConsumerState(ctx, st.Name, name)
		switch {
		case errors.Is(err, queue.ErrNotFound) && i < len(planned):
			f.missing = append(f.missing, name)
			continue
		case errors.Is(err, queue.ErrNotFound):
			return f, fmt.Errorf("%w: %w", errChanged, err)
		case err != nil:
			return f, err
		}
		if f.by == "" || c.AckFloor < f.seq {
			f.seq, f.by, f.others = min(f.seq, c.AckFloor), name, i >= len(planned)
		}
	}
	if f.by == "" && j.o.Plan.Untaken(s) { // nobody is to have it: it is kept for replay alone
		return f, nil
	}
	if f.by == "" || len(f.missing) > 0 {
		f.seq = 0
	}
	return f, nil
}
