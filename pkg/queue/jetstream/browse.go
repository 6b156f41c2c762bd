package jetstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

const (
	defaultBrowseMessages = 64
	// The server reads messages with their bodies, and holds these until the
	// headers have left it: with 1024 of 300 KB each it held 100 MB more.
	defaultBrowseHeaders = 32
	// headersPledge is what a reader of headers may have under way.
	headersPledge = 2 << 20
	// browseIdle is after how long the server removes the consumer of a browser
	// that does not pull: its process is gone, or in no hurry. The next pull is
	// refused then, and a consumer is made at the place.
	browseIdle = 30 * time.Second
	// browserPrefix holds a character that checkConsumer refuses, so that no
	// durable is taken for a browser's.
	browserPrefix = "browse="
	// sizeHeader is added by the server where it leaves out a body.
	sizeHeader = "Nats-Msg-Size"
)

func isBrowser(consumer string) bool { return strings.HasPrefix(consumer, browserPrefix) }

// browser reads by ephemeral consumers of its own, one at a time, which settle
// nothing. The place is here: whenever something may have been lost, the next
// consumer begins behind the last entry that Next returned.
type browser struct {
	q      *Queue
	stream string
	o      queue.BrowseOptions
	from   uint64 // the next sequence wanted
	order  uint64 // of the present consumer's last delivery
	tries  int    // consumers made since the last entry

	ctx  context.Context // ends with Close, of this browser or of the queue
	stop context.CancelFunc
	once sync.Once

	opening chan error     // the next consumer is being made; Next alone has it
	openers sync.WaitGroup // waited for by Close

	mu     sync.Mutex // guards what follows
	reader *reader    // nil between two consumers
	closed bool
}

// Browse implements queue.Archive.
func (q *Queue) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	if o.MaxBytes < 0 || o.MaxMessages < 0 {
		return nil, fmt.Errorf("queue: browsing stream %s: max bytes %d and max messages %d must not be negative", stream, o.MaxBytes, o.MaxMessages)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultReadBytes
	}
	if o.HeadersOnly {
		o.MaxBytes = headersPledge
	}
	switch {
	case o.MaxMessages > 0:
	case o.HeadersOnly:
		o.MaxMessages = defaultBrowseHeaders
	default:
		o.MaxMessages = defaultBrowseMessages
	}
	b := &browser{q: q, stream: stream, o: o, from: max(o.From, 1)}
	b.ctx, b.stop = context.WithCancel(q.ctx)
	if err := b.open(ctx); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// open makes a consumer at the place, and a reader of it.
func (b *browser) open(ctx context.Context) error {
	s, done, ctx, err := b.q.stream(ctx, b.stream)
	if err != nil {
		return err
	}
	defer done()
	name := browserPrefix + rand.Text()
	_, err = s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Name:              name,
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       b.from,
		MaxDeliver:        -1,
		HeadersOnly:       b.o.HeadersOnly,
		InactiveThreshold: browseIdle,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		b.abandon(name) // the answer may be what failed
		return apiError("browsing stream "+b.stream, err)
	}
	l, err := b.q.consumeLink(ctx, toBrowse, b.o.MaxBytes)
	if err != nil {
		b.abandon(name)
		return err
	}
	r := newReader(b.q, l, b.stream, name, queue.ConsumeOptions{MaxBytes: b.o.MaxBytes, MaxMessages: b.o.MaxMessages}, math.MaxInt64)
	r.ordered, r.headersOnly = true, b.o.HeadersOnly
	if err := r.start(); err != nil {
		b.q.unpledge(l, b.o.MaxBytes)
		b.abandon(name)
		return fmt.Errorf("queue: browsing stream %s: %w: %w", b.stream, queue.ErrUnavailable, err)
	}
	b.q.mu.Lock()
	b.q.readers[r] = struct{}{}
	b.q.mu.Unlock()
	b.mu.Lock()
	closed := b.closed || b.q.ctx.Err() != nil // Close may not have seen it
	if !closed {
		b.reader, b.order = r, 0
	}
	b.mu.Unlock()
	if closed {
		_ = r.Close() // always nil
		b.abandon(name)
		return b.isClosed()
	}
	return nil
}

func (b *browser) isClosed() error {
	return fmt.Errorf("queue: browsing stream %s: %w", b.stream, queue.ErrClosed)
}

// abandon removes a consumer without waiting for it: the server does so itself
// after browseIdle.
func (b *browser) abandon(consumer string) {
	if err := b.q.control.nc.Publish("$JS.API.CONSUMER.DELETE."+b.stream+"."+consumer, nil); err != nil {
		b.q.control.log.Debug("queue: a browser's consumer is left to expire", "stream", b.stream, "consumer", consumer, "error", err)
	}
}

// Next implements queue.Browser.
func (b *browser) Next(ctx context.Context) (queue.Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return queue.Entry{}, err
		}
		if b.ctx.Err() != nil {
			return queue.Entry{}, b.isClosed()
		}
		b.mu.Lock()
		r := b.reader
		b.mu.Unlock()
		if r == nil {
			if err := b.reopen(ctx); err != nil {
				return queue.Entry{}, err
			}
			continue
		}
		m, err := r.take(time.Now())
		if err == nil && m != nil {
			e, ok, err := b.entry(m)
			if err == nil && ok {
				b.tries = 0
				return e, nil
			}
			if err != nil {
				b.drop(r)
			}
			continue
		}
		if err != nil {
			b.drop(r)
			continue
		}
		select {
		case <-r.ready:
		case <-ctx.Done():
		case <-b.ctx.Done():
		}
	}
}

// entry checks that nothing is missing before it. Not ok: it is before the
// place, because the server that the consumer is on was behind when it was made.
func (b *browser) entry(m *nats.Msg) (e queue.Entry, ok bool, err error) {
	o, err := parseOrigin(m.Reply)
	if err != nil {
		return e, false, err
	}
	if o.order != b.order+1 {
		return e, false, errLost
	}
	b.order++
	if o.seq < b.from {
		return e, false, nil
	}
	e = queue.Entry{Message: message(m.Header, m.Data), Sequence: o.seq, StoredAt: time.Unix(0, o.storedAtNano), Size: len(m.Data)}
	if b.o.HeadersOnly {
		if e.Size, err = strconv.Atoi(m.Header.Get(sizeHeader)); err != nil {
			return e, false, fmt.Errorf("queue: stream %s, sequence %d: size: %w", b.stream, o.seq, err)
		}
		e.Message.Body = nil
	}
	b.from = o.seq + 1
	return e, true, nil
}

// drop gives the present consumer up.
func (b *browser) drop(r *reader) {
	b.mu.Lock()
	b.reader = nil
	b.mu.Unlock()
	_ = r.Close() // always nil
	b.abandon(r.consumer)
}

// reopen makes a consumer. That goes on when ctx ends, for the next Next. Only
// what is for good is an error.
func (b *browser) reopen(ctx context.Context) error {
	if b.opening == nil {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return b.isClosed()
		}
		opening, try := make(chan error, 1), b.tries
		b.opening = opening
		b.tries++
		b.openers.Go(func() { opening <- b.openAgain(try) })
		b.mu.Unlock()
	}
	select {
	case err := <-b.opening:
		b.opening = nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-b.ctx.Done():
		return b.isClosed()
	}
}

// openAgain waits before it opens, if the last consumers brought nothing.
func (b *browser) openAgain(try int) error {
	if try > 0 {
		select {
		case <-time.After(jitter(min(b.q.tune.backoffMax, b.q.tune.backoffMin<<min(try-1, 16)))):
		case <-b.ctx.Done():
			return b.isClosed()
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, min(2*time.Second, b.q.cfg.PublishTimeout))
	defer cancel()
	defer context.AfterFunc(b.q.control.alive(), cancel)()
	err := b.open(ctx)
	switch {
	case err == nil:
		return nil
	case b.ctx.Err() != nil:
		return b.isClosed()
	case errors.Is(err, queue.ErrNotFound):
		return err
	case try == 0:
		b.q.control.log.Warn("queue: browsing is interrupted; trying on", "stream", b.stream, "from", b.from, "error", err)
	}
	return nil
}

// Close implements queue.Browser. It waits until the server has removed the
// consumer, if it can be asked now.
func (b *browser) Close() error {
	b.once.Do(func() {
		b.stop()
		b.mu.Lock()
		b.closed = true
		r := b.reader
		b.reader = nil
		b.mu.Unlock()
		b.openers.Wait()
		if r == nil {
			return
		}
		_ = r.Close() // always nil
		if b.q.ctx.Err() != nil || !b.q.control.isUp() {
			b.abandon(r.consumer)
			return
		}
		ctx, cancel := context.WithTimeout(b.q.ctx, min(2*time.Second, b.q.cfg.PublishTimeout))
		defer cancel()
		defer context.AfterFunc(b.q.control.alive(), cancel)()
		if err := b.q.js.DeleteConsumer(ctx, b.stream, r.consumer); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			b.q.control.log.Debug("queue: a browser's consumer is left to expire", "stream", b.stream, "consumer", r.consumer, "error", err)
		}
	})
	return nil
}
