package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Payloads of an ack subject (nats-server server/consumer.go).
var (
	ackDone     = []byte("+ACK")
	ackRetry    = []byte("-NAK")
	ackProgress = []byte("+WPI")
)

var errSettled = errors.New("the delivery is settled already")

// delivery settles over the connection that it came by.
type delivery struct {
	origin
	q       *Queue
	link    *link
	reply   string
	msg     *queue.Message
	settled atomic.Bool
}

func (d *delivery) Message() *queue.Message { return d.msg }
func (d *delivery) Stream() string          { return d.stream }
func (d *delivery) Sequence() uint64        { return d.seq }
func (d *delivery) Attempt() int            { return d.attempt }
func (d *delivery) StoredAt() time.Time     { return time.Unix(0, d.storedAtNano) }

func (d *delivery) Ack() error { return d.settle("ack", ackDone) }

func (d *delivery) Retry(after time.Duration) error {
	if after <= 0 {
		return d.settle("retry", ackRetry)
	}
	return d.settle("retry", fmt.Appendf(nil, `-NAK {"delay": %d}`, after.Nanoseconds()))
}

func (d *delivery) Reject(reason string) error {
	// The reason goes into an advisory, in a protocol of lines.
	reason = strings.Join(strings.Fields(reason), " ")
	return d.settle("reject", []byte("+TERM "+reason[:min(len(reason), 256)]))
}

func (d *delivery) Extend() error {
	if d.settled.Load() {
		return d.failed("extend", errSettled)
	}
	return d.send("extend", ackProgress)
}

// settle counts only if it could be sent.
func (d *delivery) settle(verb string, payload []byte) error {
	if !d.settled.CompareAndSwap(false, true) {
		return d.failed(verb, errSettled)
	}
	err := d.send(verb, payload)
	if err != nil {
		d.settled.Store(false)
	}
	return err
}

func (d *delivery) send(verb string, payload []byte) error {
	if err := d.link.nc.Publish(d.reply, payload); err != nil {
		if d.q.ctx.Err() != nil {
			err = queue.ErrClosed
		}
		return d.failed(verb, err)
	}
	return nil
}

// AckSync repeats over reconnects until ctx ends: an ack may be repeated. After
// an error the delivery may be acked, and can be settled again.
func (d *delivery) AckSync(ctx context.Context) error {
	if !d.settled.CompareAndSwap(false, true) {
		return d.failed("ack", errSettled)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.q.ctx, cancel)()
	for try := 1; ; try++ {
		err := d.ackOnce(ctx)
		if err == nil {
			return nil
		}
		wait := jitter(min(d.q.tune.backoffMax, d.q.tune.backoffMin<<min(try-1, 16)))
		select {
		case <-time.After(wait):
			continue
		case <-ctx.Done():
		}
		d.settled.Store(false)
		if d.q.ctx.Err() != nil {
			return d.failed("ack", queue.ErrClosed)
		}
		return d.failed("ack", fmt.Errorf("%w: not confirmed after %d tries: %w: %w", queue.ErrUnavailable, try, ctx.Err(), err))
	}
}

func (d *delivery) ackOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.q.cfg.PublishTimeout)
	defer cancel()
	defer context.AfterFunc(d.link.alive(), cancel)()
	_, err := d.link.nc.RequestWithContext(ctx, d.reply, ackDone)
	return err
}

func (d *delivery) failed(verb string, err error) error {
	return fmt.Errorf("queue: %s of stream %s, sequence %d: %w", verb, d.stream, d.seq, err)
}
