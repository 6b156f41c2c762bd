package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

var errSettled = errors.New("the delivery is settled already")

// reader takes nothing in advance, so that its options bound nothing and Close
// has nothing to give back.
type reader struct {
	q            *Queue
	stream, name string

	once sync.Once
	stop chan struct{}
}

// Consume implements queue.Queue.
func (q *Queue) Consume(ctx context.Context, stream, name string, o queue.ConsumeOptions) (queue.Consumer, error) {
	if o.MaxBytes < 0 || o.MaxMessages < 0 {
		return nil, fmt.Errorf("queue: consumer %s of stream %s: max bytes %d and max messages %d must not be negative",
			name, stream, o.MaxBytes, o.MaxMessages)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, _, err := q.consumerLocked(ctx, stream, name); err != nil {
		return nil, err
	}
	return &reader{q: q, stream: stream, name: name, stop: make(chan struct{})}, nil
}

// Close implements queue.Consumer.
func (r *reader) Close() error {
	r.once.Do(func() { close(r.stop) })
	return nil
}

// Next implements queue.Consumer.
func (r *reader) Next(ctx context.Context) (queue.Delivery, error) {
	for {
		select {
		case <-r.stop:
			return nil, r.closed()
		default:
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, changed, again, err := r.take()
		if err != nil {
			return nil, err
		}
		if d != nil {
			return d, nil
		}
		var due <-chan time.Time
		var timer *time.Timer
		if !again.IsZero() {
			timer = time.NewTimer(time.Until(again))
			due = timer.C
		}
		select {
		case <-changed:
		case <-due:
		case <-ctx.Done():
		case <-r.stop:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// TryNext implements queue.Consumer.
func (r *reader) TryNext() (queue.Delivery, bool) {
	select {
	case <-r.stop:
		return nil, false
	default:
	}
	d, _, _, err := r.take()
	if d == nil || err != nil {
		return nil, false
	}
	return d, true
}

func (r *reader) closed() error {
	return fmt.Errorf("queue: consumer %s of stream %s: %w", r.name, r.stream, queue.ErrClosed)
}

func (r *reader) take() (d *delivery, changed <-chan struct{}, again time.Time, err error) {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	if r.q.closed {
		return nil, nil, time.Time{}, r.closed()
	}
	s, c, err := r.q.consumerLocked(context.Background(), r.stream, r.name)
	if err != nil {
		return nil, nil, time.Time{}, err
	}
	seq, attempt, again := c.take(s, time.Now())
	if seq == 0 || attempt == 0 {
		return nil, r.q.changed, again, nil
	}
	e := s.entry(seq)
	return &delivery{q: r.q, c: c, stream: r.stream, seq: seq, attempt: attempt, msg: e.msg, at: e.at}, nil, time.Time{}, nil
}

// delivery implements queue.Delivery.
type delivery struct {
	q       *Queue
	c       *consumer
	stream  string
	seq     uint64
	attempt int
	msg     *queue.Message
	at      time.Time
	settled bool // under Queue.mu
}

func (d *delivery) Message() *queue.Message { return d.msg }
func (d *delivery) Stream() string          { return d.stream }
func (d *delivery) Sequence() uint64        { return d.seq }
func (d *delivery) Attempt() int            { return d.attempt }
func (d *delivery) StoredAt() time.Time     { return d.at }

func (d *delivery) Ack() error { return d.do("ack", func() { d.c.settle(d.seq); d.settled = true }) }

func (d *delivery) Reject(string) error {
	return d.do("reject", func() { d.c.settle(d.seq); d.settled = true })
}

func (d *delivery) AckSync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("queue: ack of stream %s, sequence %d: %w: %w", d.stream, d.seq, queue.ErrUnavailable, err)
	}
	return d.Ack()
}

func (d *delivery) Retry(after time.Duration) error {
	return d.do("retry", func() { d.c.retry(d.seq, time.Now().Add(max(after, 0))); d.settled = true })
}

func (d *delivery) Extend() error {
	return d.do("extend", func() { d.c.retry(d.seq, time.Now().Add(d.c.cfg.AckWait)) })
}

func (d *delivery) do(verb string, f func()) error {
	d.q.mu.Lock()
	defer d.q.mu.Unlock()
	err := errSettled
	switch {
	case d.q.closed:
		err = queue.ErrClosed
	case !d.settled:
		f()
		d.q.wakeLocked()
		return nil
	}
	return fmt.Errorf("queue: %s of stream %s, sequence %d: %w", verb, d.stream, d.seq, err)
}
