package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// headerAllowance is what the server's max_payload must leave for our own
// headers: id, expected stream, and the wire form of the caller's.
const headerAllowance = 2 << 10

// MaxMessageBytes follows the max_payload of the server that is connected.
func (q *Queue) MaxMessageBytes() int {
	return int(q.publish[0].nc.MaxPayload()) - headerAllowance
}

// Publish implements queue.Publisher. It waits for room in the byte budget,
// then tries until the server confirms, refuses for good, ctx ends or the
// horizon is reached. A lost connection ends a try at once.
func (q *Queue) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	if q.ctx.Err() != nil {
		return queue.Receipt{}, queue.ErrClosed
	}
	size, err := q.checkMessage(stream, m)
	if err != nil {
		return queue.Receipt{}, err
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, q.cfg.PublishHorizon)
	defer cancel()
	defer context.AfterFunc(q.ctx, cancel)()

	weight := min(int64(size), q.cfg.MaxInFlightBytes)
	if err := q.budget.Acquire(ctx, weight); err != nil {
		return queue.Receipt{}, q.gaveUp(stream, m.ID, 0, start, fmt.Errorf(
			"%d bytes are waiting for confirmation already: %w", q.cfg.MaxInFlightBytes, err))
	}
	defer q.budget.Release(weight)

	msg := wireMessage(stream, m)
	turn := int(q.turn.Add(1))
	var last error
	for try := 1; ; try++ {
		l := q.publish[(turn+try)%len(q.publish)]
		r, err := q.try(ctx, l, stream, msg)
		if err == nil {
			return r, nil
		}
		if errors.Is(err, nats.ErrNoResponders) {
			err = q.explainNoResponders(ctx, stream)
		}
		if final := classify(err); final != nil {
			return r, fmt.Errorf("queue: stream %s, message %s of %d bytes: %w: %w", stream, m.ID, size, final, err)
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !q.pause(ctx, l, try) {
			return r, q.gaveUp(stream, m.ID, try, start, last)
		}
	}
}

func (q *Queue) gaveUp(stream, id string, tries int, start time.Time, last error) error {
	kind := queue.ErrUnavailable
	if q.ctx.Err() != nil {
		kind = queue.ErrClosed
	}
	return fmt.Errorf("queue: stream %s, message %s: %w: not confirmed after %d tries in %s: %w",
		stream, id, kind, tries, time.Since(start).Round(time.Millisecond), last)
}

// try publishes once. Its error may hide a stored message, unless it is the
// server's own answer.
func (q *Queue) try(ctx context.Context, l *link, stream string, msg *nats.Msg) (queue.Receipt, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, q.cfg.PublishTimeout,
		fmt.Errorf("no confirmation within %s", q.cfg.PublishTimeout))
	defer cancel()
	tctx, wake := context.WithCancelCause(ctx)
	defer wake(nil)
	defer context.AfterFunc(l.alive(), func() { wake(errors.New("the connection was lost")) })()

	sentOver, err := q.proof.connection(l)
	if err != nil {
		return queue.Receipt{}, err
	}
	resp, err := l.nc.RequestMsgWithContext(tctx, msg)
	if err != nil {
		if cause := context.Cause(tctx); cause != nil && errors.Is(err, tctx.Err()) {
			err = cause
		}
		return queue.Receipt{}, err
	}
	var ack struct {
		Stream    string              `json:"stream"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Error     *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(resp.Data, &ack); {
	case err != nil:
		return queue.Receipt{}, fmt.Errorf("answer is not a confirmation: %w", err)
	case ack.Error != nil:
		return queue.Receipt{}, ack.Error
	case ack.Sequence == 0 || ack.Stream == "":
		return queue.Receipt{}, errors.New("answer is not a confirmation: it names no stream and sequence")
	case ack.Stream != stream:
		return queue.Receipt{}, wrongStreamError{msg.Subject, stream, ack.Stream, ack.Sequence}
	}
	// The library may have connected anew just before it sent.
	if now, err := q.proof.connection(l); err != nil {
		return queue.Receipt{}, err
	} else if now != sentOver {
		return queue.Receipt{}, errors.New("the connection was replaced before the confirmation")
	}
	return queue.Receipt{Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

// pause waits before the next try: backoff with jitter, and while there is no
// connection also its return. False: no further try.
func (q *Queue) pause(ctx context.Context, l *link, try int) bool {
	wait := time.NewTimer(jitter(min(q.tune.backoffMax, q.tune.backoffMin<<min(try-1, 16))))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return false
	}
	if len(q.publish) > 1 {
		return true // another connection may stand
	}
	select {
	case <-l.returned():
		return true
	case <-ctx.Done():
		return false
	}
}

// explainNoResponders tells a stream that is missing from a server that is not
// ready: nobody listens on the subject in either case. It must not hold up the
// next try.
func (q *Queue) explainNoResponders(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, min(time.Second, q.cfg.PublishTimeout))
	defer cancel()
	defer context.AfterFunc(q.control.alive(), cancel)()
	if _, err := q.js.Stream(ctx, stream); errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return errors.New("no server takes messages of the stream now")
}

func (q *Queue) checkMessage(stream string, m *queue.Message) (size int, err error) {
	if err := checkStream(stream); err != nil {
		return 0, err
	}
	if m.ID == "" {
		return 0, fmt.Errorf("queue: stream %s: a message needs an ID to be published once", stream)
	}
	size = len(m.Body) + len(m.ID)
	for k, v := range m.Header {
		if k == "" || k == "Status" || k == "Description" || strings.HasPrefix(k, "Nats-") || !printable(k) || !printable(v) ||
			strings.ContainsAny(k, ": ") || strings.TrimSpace(v) != v {
			return 0, fmt.Errorf("queue: stream %s, message %s: header %q: %q is reserved or not printable ASCII", stream, m.ID, k, v)
		}
		size += len(k) + len(v)
	}
	if !printable(m.ID) || strings.TrimSpace(m.ID) != m.ID {
		return 0, fmt.Errorf("queue: stream %s: message ID %q is not printable ASCII", stream, m.ID)
	}
	if limit := q.MaxMessageBytes(); size > limit {
		return 0, fmt.Errorf("queue: stream %s, message %s: %w: %d bytes, limit %d (the server's max_payload)",
			stream, m.ID, queue.ErrTooLarge, size, limit)
	}
	return size, nil
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// wireMessage shares the body with m: the library copies it into its write
// buffer before the request returns.
func wireMessage(stream string, m *queue.Message) *nats.Msg {
	h := make(nats.Header, len(m.Header)+2)
	values := make([]string, 0, len(m.Header)+2)
	set := func(k, v string) {
		values = append(values, v)
		h[k] = values[len(values)-1 : len(values) : len(values)]
	}
	set(jetstream.MsgIDHeader, m.ID)
	set(jetstream.ExpectedStreamHeader, stream)
	for k, v := range m.Header {
		set(k, v)
	}
	return &nats.Msg{Subject: Subject(stream), Header: h, Data: m.Body}
}
