package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/pkg/queue"
)

const (
	defaultReadBytes    = 16 << 20
	defaultReadMessages = 64
	// linkBytes is how much the readers of one connection may pull at a time.
	// The server drops a client that it has more than max_pending (64 MiB) for.
	linkBytes = 32 << 20
)

// consumeLink is a connection shared by readers whose pulls together stay below
// linkBytes. It lives until Queue.Close, because deliveries settle over it.
// Browsers have others than consumers, so that neither waits behind the other's
// bytes.
type consumeLink struct {
	*link
	use     use
	pledged int // bytes of its open readers, under Queue.mu
}

type use string

const (
	toConsume use = "consume"
	toBrowse  use = "browse"
)

// Consume implements queue.Queue.
func (q *Queue) Consume(ctx context.Context, stream, consumer string, o queue.ConsumeOptions) (queue.Consumer, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultReadBytes
	}
	if o.MaxMessages == 0 {
		o.MaxMessages = defaultReadMessages
	}
	if o.MaxBytes < 0 || o.MaxMessages < 0 {
		return nil, fmt.Errorf("queue: consumer %s of stream %s: max bytes %d and max messages %d must not be negative",
			consumer, stream, o.MaxBytes, o.MaxMessages)
	}
	info, err := q.consumerInfo(ctx, stream, consumer)
	if err != nil {
		return nil, err
	}
	l, err := q.consumeLink(ctx, toConsume, o.MaxBytes)
	if err != nil {
		return nil, err
	}
	r := newReader(q, l, stream, consumer, o, info.Config.AckWait)
	if err := r.start(); err != nil {
		q.unpledge(l, o.MaxBytes)
		return nil, fmt.Errorf("queue: consumer %s of stream %s: %w: %w", consumer, stream, queue.ErrUnavailable, err)
	}
	q.mu.Lock()
	q.readers[r] = struct{}{}
	q.mu.Unlock()
	if q.ctx.Err() != nil { // Close may not have seen it
		return nil, errors.Join(queue.ErrClosed, r.Close())
	}
	return r, nil
}

// consumeLink gives a connection with room for a reader of so many bytes.
func (q *Queue) consumeLink(ctx context.Context, use use, bytes int) (*consumeLink, error) {
	q.mu.Lock()
	for _, l := range q.consume {
		if l.use == use && (l.pledged == 0 || l.pledged+bytes <= linkBytes) {
			l.pledged += bytes
			q.mu.Unlock()
			return l, nil
		}
	}
	n := len(q.consume)
	q.mu.Unlock()

	ctx, done, err := q.call(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	nl, err := dial(ctx, q.cfg, linkKind{name: fmt.Sprintf("%s-%d", use, n)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	l := &consumeLink{link: nl, use: use, pledged: bytes}
	q.mu.Lock()
	closed := q.ctx.Err() != nil
	if !closed {
		q.consume = append(q.consume, l)
	}
	q.mu.Unlock()
	if closed {
		nl.close()
		return nil, queue.ErrClosed
	}
	return l, nil
}

func (q *Queue) unpledge(l *consumeLink, bytes int) {
	q.mu.Lock()
	l.pledged -= bytes
	q.mu.Unlock()
}
