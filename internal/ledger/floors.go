package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// drops are the destinations that operators give up.
func (s *state) drops(ctx context.Context) (map[string]queue.Value, error) {
	values, err := s.q.List(ctx, keyDrop)
	if err != nil {
		return nil, fmt.Errorf("list dropped destinations: %w", err)
	}
	drops := map[string]queue.Value{}
	for _, v := range values {
		drops[strings.TrimPrefix(v.Key, keyDrop)] = v
	}
	return drops, nil
}

// floors looks at every durable.
func (s *state) floors(ctx context.Context, drops map[string]queue.Value) error {
	present := map[string]bool{} // destinations
	for _, stream := range slices.Sorted(maps.Keys(s.streams)) {
		st := s.streams[stream]
		for _, c := range st.Consumers {
			if !topology.IsDurable(c) {
				continue
			}
			name := strings.TrimPrefix(c, topology.Durable(""))
			present[name] = true
			if err := s.floor(ctx, st, name); err != nil {
				return fmt.Errorf("look at destination %s on stream %s: %w", name, stream, err)
			}
		}
		for name, a := range s.accounts {
			if !slices.Contains(st.Consumers, topology.Durable(name)) {
				delete(a.v.Begins, stream)
			}
			if r := a.v.Readers[stream]; r != nil && !slices.Contains(st.Consumers, topology.Durable(name)) {
				r.Missing = true
				r.pending, r.pendingExact = s.books[stream].v.Total.minus(r.Settled), r.Exact
				if _, dropped := drops[name]; !dropped {
					s.alarm("destination %s has no durable on stream %s, and had one: it gets nothing; start a worker that has it, or drop the destination", name, stream)
				}
			}
		}
	}
	for _, d := range s.plan.Destinations {
		for _, signal := range otlp.Signals {
			for _, stream := range s.plan.Streams(signal) {
				st, there := s.streams[stream]
				if d.Takes(signal) && there && !slices.Contains(st.Consumers, topology.Durable(d.Name)) && (s.accounts[d.Name] == nil || s.accounts[d.Name].v.Readers[stream] == nil) {
					s.alarm("destination %s is configured and has no durable on stream %s: start a worker that has it", d.Name, stream)
				}
			}
		}
	}
	for name, mark := range drops {
		if present[name] { // not removed yet, or made again at once
			if markAge(mark) > dropPatience {
				s.done = append(s.done, mark)
			}
			continue
		}
		if a := s.accounts[name]; a != nil {
			for stream := range maps.Clone(a.v.Readers) {
				a.v.end(stream, s.bookOf(stream))
			}
			a.v.Dropped = true
		}
		s.done = append(s.done, mark)
	}
	return nil
}

// dropPatience is how long a destination that is given up may take to go.
const dropPatience = time.Hour

func markAge(v queue.Value) time.Duration {
	var m mark
	if err := json.Unmarshal(v.Data, &m); err != nil {
		return 0 // of a newer version, which will see to it
	}
	return time.Since(m.At)
}

func (s *state) bookOf(stream string) *book {
	if b := s.books[stream]; b != nil {
		return &b.v
	}
	return nil
}

// floor looks at one durable.
func (s *state) floor(ctx context.Context, st queue.StreamState, name string) error {
	c, err := s.q.ConsumerState(ctx, st.Name, topology.Durable(name))
	if errors.Is(err, queue.ErrNotFound) {
		return nil // the next look will tell
	}
	if err != nil {
		return err
	}
	b := &s.books[st.Name].v
	a := s.account(name)
	r := a.Readers[st.Name]
	if r == nil {
		if r, err = s.register(ctx, a, b, st, c); err != nil || r == nil {
			return err
		}
	}
	r.Missing = false
	c.AckFloor = max(c.AckFloor, st.FirstSeq-1) // what is gone is settled
	switch {
	case c.AckFloor < r.Floor: // made anew
		upTo, low, _ := b.upTo(c.AckFloor)
		r.Again += r.Settled.minus(low).Items
		r.Floor, r.Settled, r.Exact = c.AckFloor, low, upTo == low && c.AckFloor <= b.Counted
	case c.AckFloor > r.Floor || !r.Exact:
		_, low, exact := b.upTo(c.AckFloor)
		if r.Settled.Items > low.Items { // what was exact before is more than the index knows
			low = r.Settled
		}
		r.Floor, r.Settled, r.Exact = c.AckFloor, low, exact && c.AckFloor <= b.Counted
	}
	r.pending, r.pendingExact = s.pending(b, r, c, st.LastSeq)
	return nil
}

// register begins with a durable that was not seen before: it is answerable for
// what the stream held then, which the janitor keeps until this is done. Of a
// stream that was there before the ledger, what is settled already is not its
// concern. nil: what is before that is not counted yet, and is gone on with at the
// next look.
func (s *state) register(ctx context.Context, a *account, b *book, st queue.StreamState, c queue.ConsumerState) (*reader, error) {
	base, known := a.Begins[st.Name]
	if !known {
		base = st.FirstSeq - 1
		if s.books[st.Name].born() && !young(st) {
			base = max(base, c.AckFloor)
		}
		if a.Begins == nil {
			a.Begins = map[string]uint64{}
		}
		a.Begins[st.Name] = base
	}
	if b.Counted < min(base, st.LastSeq) {
		return nil, nil
	}
	before, err := s.upToByTenant(ctx, b, st, base)
	if before == nil || err != nil {
		return nil, err
	}
	delete(a.Begins, st.Name)
	if a.Dropped { // it is back: what it was given up for stays given up
		s.settleDropped(a)
	}
	r := &reader{Signal: b.Signal, Base: base, Before: before, Floor: base, Settled: before.total(), Exact: true}
	a.Readers[st.Name] = r
	return r, nil
}

// young tells that a stream is hardly older than this look: what is settled of it
// is told by processes that the ledger sees. With clocks that are further apart it
// is taken for an old one.
func young(st queue.StreamState) bool {
	return st.FirstSeq == 1 && time.Since(st.FirstTime).Abs() < fleet.Skew
}

// beginning is the total up to a sequence, by tenant, as far as it is known: what
// lies above is read and taken out of what was counted when that began.
type beginning struct {
	reader   queue.Browser
	sum      byTenant
	at, upTo uint64 // what is up to at is taken out, and upTo is the last
}

func beginKey(stream string, base uint64) string { return fmt.Sprint(stream, " ", base) }

// upToByTenant is exact: it reads what is above when the book does not know. That
// takes as many looks as it takes: a stream may hold millions. nil: not yet.
func (s *state) upToByTenant(ctx context.Context, b *book, st queue.StreamState, seq uint64) (byTenant, error) {
	if seq >= b.Counted {
		return maps.Clone(b.Tenants), nil
	}
	key := beginKey(b.Stream, seq)
	x := s.begins[key]
	if x == nil {
		reader, err := s.q.Browse(ctx, b.Stream, queue.BrowseOptions{From: seq + 1, HeadersOnly: true})
		if err != nil {
			return nil, err
		}
		x = &beginning{reader: reader, sum: maps.Clone(b.Tenants), at: seq, upTo: b.Counted}
		s.begins[key] = x
	}
	for until := share(ctx, 4); x.at < x.upTo && st.FirstSeq <= x.upTo; {
		if !time.Now().Before(until) {
			return nil, nil
		}
		e, err := within(ctx, x.reader, entryPatience)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil { // what was counted last is gone, or a server lags
			return nil, nil
		}
		if err != nil {
			delete(s.begins, key)
			return nil, errors.Join(err, x.reader.Close())
		}
		if x.at = e.Sequence; x.at <= x.upTo {
			amount, _ := amount(e.Message.Header)
			tenant := x.sum.known(e.Message.Header[record.HeaderTenant])
			x.sum[tenant] = x.sum[tenant].minus(amount)
		}
	}
	delete(s.begins, key)
	_ = x.reader.Close() // nothing depends on it
	return x.sum, nil
}

// pending is what is not settled of what the book has: all that was not delivered,
// and of what was delivered above the floor as many messages as are not settled.
// The first of these is known; others among settled ones count as much as the mean.
// last is the stream's, which may not be counted yet.
func (s *state) pending(b *book, r *reader, c queue.ConsumerState, last uint64) (Sum, bool) {
	unsettled := uint64(max(c.AckPending, 0))
	delivered := max(min(less(max(last, b.Counted), c.Pending), b.Counted), min(c.AckFloor+unsettled, b.Counted))
	upTo, _, exact := b.upTo(delivered)
	rest := b.Total.minus(upTo)
	above := less(delivered, c.AckFloor)
	held := upTo.minus(r.Settled)
	r.most = upTo
	switch {
	case unsettled == 0 || above == 0:
		return rest, exact
	case unsettled >= above:
		r.most = r.Settled
		return rest.plus(held), exact && r.Exact
	}
	first, _, exactFirst := b.upTo(c.AckFloor + 1)
	one := first.minus(r.Settled)
	if exactFirst && r.Exact {
		r.most = upTo.minus(one)
	}
	others := held.minus(one)
	share := float64(unsettled-1) / float64(above-1)
	part := func(n uint64) uint64 { return uint64(float64(n)*share + 0.5) }
	return rest.plus(one).plus(Sum{unsettled - 1, part(others.Items), part(others.Bytes)}), exact && exactFirst && r.Exact && unsettled == 1
}
