package committer

import (
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// errAbandoned is the outcome of a group that no caller waits for.
var errAbandoned = errors.New("every client of the group has gone")

// commit compresses and publishes a closed group and sets its members' outcomes.
func (c *Committer) commit(g *group, shard int) {
	begin := time.Now()
	if g.ctx.Err() != nil {
		g.fail(0, len(g.members), errAbandoned)
		c.metrics.abandoned.Inc()
		return
	}
	c.metrics.inFlight.Inc()
	defer c.metrics.inFlight.Dec()
	c.metrics.group(g, begin)
	c.commitRange(g, shard, 0, len(g.members))
	c.metrics.commitSeconds.Observe(time.Since(begin).Seconds())
}

// commitRange commits the members i up to j as one message; when that is more
// than the queue takes in one, as several.
func (c *Committer) commitRange(g *group, shard int, i, j int) {
	items, minTime, maxTime := g.span(i, j)
	raw := g.raw[g.start(i):g.members[j-1].end]
	err := c.publish(g, shard, raw, otlp.Info{Items: items, MinTime: minTime, MaxTime: maxTime})
	switch {
	case err == nil:
	case !errors.Is(err, queue.ErrTooLarge):
		g.fail(i, j, err)
	case j-i > 1: // one large request must not fail its neighbours
		mid := (i + j) / 2
		c.commitRange(g, shard, i, mid)
		c.commitRange(g, shard, mid, j)
	default:
		c.commitParts(g, shard, i, raw, err)
	}
}

// commitParts commits one member, too large for a message, in parts. An item
// that is too large by itself is rejected alone.
func (c *Committer) commitParts(g *group, shard, i int, raw []byte, tooLarge error) {
	m := &g.members[i]
	if m.items <= 1 {
		m.reject(1, tooLarge)
		return
	}
	c.metrics.splits.Inc()
	m.err = c.publishParts(g, shard, m, raw, len(raw)/2)
}

func (c *Committer) publishParts(g *group, shard int, m *member, raw []byte, size int) error {
	return otlp.Split(g.signal, raw, size, func(p []byte, info otlp.Info) error {
		err := c.publish(g, shard, p, info)
		switch {
		case !errors.Is(err, queue.ErrTooLarge):
			return err
		case info.Items <= 1 || len(p) > size && size <= 1:
			m.reject(info.Items, err)
			return nil
		}
		return c.publishParts(g, shard, m, p, min(size, len(p))/2)
	})
}

// reserve is left free in a message for the headers that the dead-letter stream
// adds: what fits here must fit there.
const reserve = 1 << 10

// publish stores raw as one message, under one id for all tries.
func (c *Committer) publish(g *group, shard int, raw []byte, info otlp.Info) error {
	packed, full := c.packed.get(c.compression.MaxEncodedLen(len(raw)))
	defer func() { c.packed.put(packed, full) }()
	body, codecName, err := c.compression.Append(packed, raw)
	if err != nil {
		return fmt.Errorf("compress %d bytes of %s: %w", len(raw), g.signal, err)
	}
	packed = body
	if limit := c.queue.MaxMessageBytes() - reserve; len(body) > limit {
		return fmt.Errorf("%w: %d bytes as stored, the queue takes %d", queue.ErrTooLarge, len(body), limit)
	}
	m := record.Encode(&record.Record{
		ID: ulid.Make().String(), Signal: g.signal, Tenant: g.tenant, Codec: codecName, Items: info.Items,
		RawBytes: len(raw), MinTime: info.MinTime, MaxTime: info.MaxTime, Body: body,
	})
	receipt, err := c.store(g, shard, m)
	c.metrics.published(g, len(raw), len(body), info.Items, receipt, err)
	return err
}

// store publishes on the shard. Where that is full or missing, and so stored
// nothing, the next one gets it; an unknown outcome is never tried elsewhere.
func (c *Committer) store(g *group, shard int, m *queue.Message) (queue.Receipt, error) {
	streams := c.streams[g.signal]
	var receipt queue.Receipt
	var err error
	for k := range streams {
		receipt, err = c.queue.Publish(g.ctx, streams[(shard+k)%len(streams)], m)
		if !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrNotFound) {
			break
		}
	}
	return receipt, err
}

func (g *group) fail(i, j int, err error) {
	for k := i; k < j; k++ {
		g.members[k].err = err
	}
}

func (m *member) reject(items int, err error) {
	m.rejected += items
	if m.why == "" {
		m.why = fmt.Sprintf("%d item(s) cannot be stored: %v", items, err)
	}
}
