package committer

import (
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/penstock-otel/penstock/internal/copies"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/codec"
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
	err := c.publish(g, shard, g.members[i:j], span(g.members[i:j]))
	switch {
	case err == nil:
	case !errors.Is(err, queue.ErrTooLarge):
		g.fail(i, j, err)
	case j-i > 1: // one large request must not fail its neighbours
		mid := (i + j) / 2
		c.commitRange(g, shard, i, mid)
		c.commitRange(g, shard, mid, j)
	default:
		c.commitParts(g, shard, &g.members[i], err)
	}
}

// commitParts commits one member, too large for a message, in parts. An item
// that is too large by itself is rejected alone.
func (c *Committer) commitParts(g *group, shard int, m *member, tooLarge error) {
	if m.items <= 1 {
		m.reject(1, tooLarge)
		return
	}
	c.metrics.splits.Inc()
	m.err = c.publishParts(g, shard, m, m.data, len(m.data)/2)
}

func (c *Committer) publishParts(g *group, shard int, m *member, raw []byte, size int) error {
	return otlp.Split(g.signal, raw, size, func(p []byte, info otlp.Info) error {
		err := c.publish(g, shard, []member{{data: p}}, info)
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

// publish stores the members as one message, under one id for all tries.
func (c *Committer) publish(g *group, shard int, members []member, info otlp.Info) error {
	size := sizeOf(members)
	body, codecName, err := c.pack(members, size)
	defer c.bodies.put(body)
	if err != nil {
		return fmt.Errorf("compress %d bytes of %s: %w", size, g.signal, err)
	}
	if limit := c.queue.MaxMessageBytes() - reserve; len(body) > limit {
		return fmt.Errorf("%w: %d bytes as stored, the queue takes %d", queue.ErrTooLarge, len(body), limit)
	}
	m := record.Encode(&record.Record{
		ID: ulid.Make().String(), Signal: g.signal, Tenant: g.tenant, Codec: codecName, Items: info.Items,
		RawBytes: size, MinTime: info.MinTime, MaxTime: info.MaxTime, Body: body,
	})
	receipt, err := c.store(g, shard, m)
	c.metrics.published(g, size, len(body), info.Items, receipt, err)
	return err
}

// pack joins the members, which have size bytes, and compresses them, into a
// buffer of bodies that has hardly more than the result: it lives until the queue
// has confirmed, the work space only until here.
func (c *Committer) pack(members []member, size int) (body []byte, codecName string, err error) {
	if c.compression.Plain(size) {
		return join(c.bodies.get(size), members), codec.None, nil
	}
	b := <-c.spaces
	defer func() { c.spaces <- b }()
	raw := members[0].data
	if len(members) > 1 {
		b.raw = join(fit(b.raw, size), members)
		raw = b.raw
	}
	packed, codecName, err := c.compression.Append(fit(b.packed, c.compression.MaxEncodedLen(size)), raw)
	if err != nil {
		return nil, "", err
	}
	if size <= int(c.cfg.MaxBytes) { // what outgrows a group is not held for the next
		b.packed = packed
	}
	b.trim(size)
	copies.Count(copies.Packed, len(packed))
	return append(c.bodies.get(len(packed)), packed...), codecName, nil
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
