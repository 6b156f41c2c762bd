package memory

import (
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// consumer is the state of a durable consumer, shared by its readers. Queue.mu
// guards it.
type consumer struct {
	cfg     queue.ConsumerConfig
	next    uint64 // first sequence never delivered
	floor   uint64 // all up to here are settled
	pending map[uint64]*pending
	settled map[uint64]bool // above floor
}

// pending is a message that was delivered and is not settled.
type pending struct {
	attempt int
	due     time.Time // when it is delivered again
}

// take gives the sequence to deliver now, or when to look again (zero: at the
// next change). A repeated delivery goes first, the longest due before others.
func (c *consumer) take(s *stream, now time.Time) (seq uint64, attempt int, again time.Time) {
	var due *pending
	for n, p := range c.pending {
		if due == nil || p.due.Before(due.due) || p.due.Equal(due.due) && n < seq {
			due, seq = p, n
		}
	}
	if due != nil && !due.due.After(now) {
		due.attempt++
		due.due = now.Add(c.cfg.AckWait)
		return seq, due.attempt, time.Time{}
	}
	c.next = max(c.next, s.first)
	if _, seq = s.from(c.next); seq > 0 && len(c.pending) < c.cfg.MaxAckPending {
		c.next = seq + 1
		c.pending[seq] = &pending{attempt: 1, due: now.Add(c.cfg.AckWait)}
		return seq, 1, time.Time{}
	}
	if due != nil {
		again = due.due
	}
	return 0, 0, again
}

func (c *consumer) settle(seq uint64) {
	delete(c.pending, seq)
	if seq > c.floor {
		c.settled[seq] = true
	}
	for c.settled[c.floor+1] {
		c.floor++
		delete(c.settled, c.floor)
	}
}

func (c *consumer) retry(seq uint64, at time.Time) {
	if p := c.pending[seq]; p != nil {
		p.due = at
	}
}

// purged counts everything up to seq as settled: it is gone.
func (c *consumer) purged(seq uint64) {
	for n := range c.pending {
		if n <= seq {
			delete(c.pending, n)
		}
	}
	for n := range c.settled {
		if n <= seq {
			delete(c.settled, n)
		}
	}
	c.next = max(c.next, seq+1)
	c.floor = max(c.floor, seq)
	for c.settled[c.floor+1] {
		c.floor++
		delete(c.settled, c.floor)
	}
}
