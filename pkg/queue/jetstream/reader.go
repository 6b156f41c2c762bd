package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// reader pulls for itself rather than by the library's iterators, which
//   - in byte mode ask for 1,000,000 messages and make a channel of that size,
//   - with a byte limit per pull have two pulls open, so twice the bytes,
//   - throw away at Stop what they hold, which then waits for AckWait,
//   - stall for ever on a message above the byte limit.
//
// Here one pull is open at a time, for what the buffer has room for, and the
// next is sent when the buffer is half empty. The server ends a pull by a
// status; a pull that is silent for two heartbeats, or outlives its expiry, is
// given up and made anew (pull.go).
type reader struct {
	q                *Queue
	link             *consumeLink
	stream, consumer string
	o                queue.ConsumeOptions
	ackWait          time.Duration
	// ordered is for a consumer of this reader alone, which nothing is settled
	// with: any trouble ends it with errLost, because what was under way is lost.
	ordered     bool
	headersOnly bool // a pull has no byte limit: the server counts bodies too

	ready chan struct{} // cap 1: something for Next
	check chan struct{} // cap 1: something for run
	done  chan struct{} // closed when run has returned
	once  sync.Once

	ctx  context.Context // ends with Close, of this reader or of the queue
	stop context.CancelFunc

	mu      sync.Mutex // guards what follows
	sub     *nats.Subscription
	inbox   string
	buf     []item // from buf[head]
	head    int
	bytes   int // of buf
	pull    pull
	waiting waiting
	err     error // for good
	closed  bool
}

// errLost ends an ordered reader.
var errLost = errors.New("the consumer's place is lost")

type item struct {
	msg *nats.Msg
	at  time.Time
}

func newReader(q *Queue, l *consumeLink, stream, consumer string, o queue.ConsumeOptions, ackWait time.Duration) *reader {
	r := &reader{q: q, link: l, stream: stream, consumer: consumer, o: o, ackWait: ackWait,
		ready: make(chan struct{}, 1), check: make(chan struct{}, 1), done: make(chan struct{})}
	r.ctx, r.stop = context.WithCancel(q.ctx)
	return r
}

// start subscribes and pulls. After an error nothing of the reader is left.
func (r *reader) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.subscribeLocked(); err != nil {
		r.stop()
		return err
	}
	go r.run() // Close waits for done
	r.pullLocked(time.Now())
	return nil
}

// subscribeLocked opens a fresh inbox. Pulls reply to inbox.<number>, so that a
// status tells which pull it ends.
func (r *reader) subscribeLocked() error {
	inbox := r.link.nc.NewInbox()
	sub, err := r.link.nc.Subscribe(inbox+".*", r.receive)
	if err != nil {
		return err
	}
	// The bound is what is pulled. The library's own would drop deliveries.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return errors.Join(err, sub.Unsubscribe())
	}
	r.sub, r.inbox = sub, inbox
	return nil
}

// receive is called by the library, one message at a time.
func (r *reader) receive(m *nats.Msg) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pull.heard = now
	if len(m.Data) == 0 && m.Header.Get("Status") != "" {
		r.statusLocked(m, now)
		return
	}
	if r.pull.open {
		if r.pull.got++; r.pull.got >= r.pull.batch {
			r.pull.open = false
			if r.closed {
				wake(r.check)
			}
		}
	}
	if r.closed {
		if !r.ordered {
			r.giveBack(m)
		}
		return
	}
	if r.head > 0 && len(r.buf) == cap(r.buf) {
		n := copy(r.buf, r.buf[r.head:])
		clear(r.buf[n:])
		r.buf, r.head = r.buf[:n], 0
	}
	r.buf = append(r.buf, item{m, now})
	r.bytes += len(m.Data)
	r.waiting = waiting{}
	r.pullLocked(now)
	wake(r.ready)
}

// Next implements queue.Consumer.
func (r *reader) Next(ctx context.Context) (queue.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := r.take(time.Now())
		if err != nil {
			return nil, err
		}
		if m != nil {
			d, err := r.delivery(m)
			if err == nil {
				return d, nil
			}
			r.alone(err)
			continue
		}
		select {
		case <-r.ready:
		case <-ctx.Done():
		case <-r.ctx.Done():
		}
	}
}

// TryNext implements queue.Consumer.
func (r *reader) TryNext() (queue.Delivery, bool) {
	for {
		m, err := r.take(time.Now())
		if m == nil || err != nil {
			return nil, false
		}
		d, err := r.delivery(m)
		if err == nil {
			return d, true
		}
		r.alone(err)
	}
}

func (r *reader) alone(err error) {
	r.link.log.Error("queue: a message was delivered without its origin and is left alone",
		"stream", r.stream, "consumer", r.consumer, "error", err)
}

// take pops the oldest delivery. One that waited in the buffer for AckWait is
// passed over: the server has given it, or will give it, to a reader again.
func (r *reader) take(now time.Time) (*nats.Msg, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return nil, fmt.Errorf("queue: consumer %s of stream %s: %w", r.consumer, r.stream, queue.ErrClosed)
	}
	for r.head < len(r.buf) {
		it := r.buf[r.head]
		r.buf[r.head] = item{}
		r.head++
		if r.head == len(r.buf) {
			r.buf, r.head = r.buf[:0], 0
		}
		r.bytes -= len(it.msg.Data)
		r.pullLocked(now)
		if now.Sub(it.at) < r.ackWait {
			return it.msg, nil
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	r.pullLocked(now)
	return nil, nil
}

func (r *reader) delivery(m *nats.Msg) (*delivery, error) {
	o, err := parseOrigin(m.Reply)
	if err != nil {
		return nil, err
	}
	return &delivery{origin: o, q: r.q, link: r.link.link, reply: m.Reply, msg: message(m.Header, m.Data)}, nil
}

// Close implements queue.Consumer. It waits until the server has stopped
// delivering, so that nothing under way has to wait for AckWait, but for what a
// replicated consumer has chosen and not yet sent when it hears of the end.
func (r *reader) Close() error {
	r.once.Do(r.close)
	return nil
}

func (r *reader) close() {
	r.stop()
	if r.ordered {
		r.leave()
		return
	}
	<-r.done
	r.mu.Lock()
	r.closed = true
	rest := r.buf[r.head:]
	r.buf, r.head, r.bytes = nil, 0, 0
	sub := r.sub
	owed := r.pull.open && r.pull.ended
	r.mu.Unlock()

	for _, it := range rest {
		r.giveBack(it.msg)
	}
	if owed {
		select {
		case <-r.check:
		case <-r.link.alive().Done():
		case <-time.After(2 * time.Second):
		}
	}
	ended := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(ended) })
	if err := sub.Drain(); err == nil {
		select {
		case <-ended:
		case <-r.link.alive().Done(): // the server forgets a lost connection's pulls
		case <-time.After(2 * time.Second):
		}
	}
	if err := r.link.nc.FlushTimeout(2 * time.Second); err != nil {
		r.link.log.Debug("queue: what a consumer held comes back only after its ack wait",
			"stream", r.stream, "consumer", r.consumer, "error", err)
	}
	r.forget()
}

// leave ends an ordered reader: what it holds is nobody else's.
func (r *reader) leave() {
	<-r.done
	r.mu.Lock()
	r.closed = true
	r.buf, r.head, r.bytes = nil, 0, 0
	sub := r.sub
	r.mu.Unlock()
	_ = sub.Unsubscribe() // fails only if the connection is closed
	r.forget()
}

func (r *reader) forget() {
	r.q.mu.Lock()
	delete(r.q.readers, r)
	r.link.pledged -= r.o.MaxBytes
	r.q.mu.Unlock()
}

func (r *reader) giveBack(m *nats.Msg) {
	if err := r.link.nc.Publish(m.Reply, ackRetry); err != nil {
		r.link.log.Debug("queue: giving back a delivery", "stream", r.stream, "consumer", r.consumer, "error", err)
	}
}

// wake leaves one token in a channel of one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
