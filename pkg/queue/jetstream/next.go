package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// PublishNext implements queue.Publisher by Nats-Expected-Last-Sequence. A single
// server looks at that before it looks at the ID, a cluster the other way round:
// a repetition of what was stored is refused by the one and a duplicate for the
// other, so what is refused is looked for where it would lie.
func (q *Queue) PublishNext(ctx context.Context, stream string, m *queue.Message, last uint64) (queue.Receipt, error) {
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
	msg := wireMessage(stream, m)
	msg.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last, 10))
	unsure := false // an earlier try may have stored it
	var why error
	for try := 1; ; try++ {
		l := q.publish[int(q.turn.Add(1))%len(q.publish)]
		_, err := q.proof.connection(l)
		sent := err == nil
		var r queue.Receipt
		if sent {
			r, err = q.try(ctx, l, stream, msg)
		}
		switch {
		case err == nil && r.Sequence != last+1:
			return r, fmt.Errorf("queue: stream %s, message %s: %w: the server stored it at %d although it was to be at %d or nowhere",
				stream, m.ID, queue.ErrUnavailable, r.Sequence, last+1)
		case err == nil:
			return r, nil
		case apiCode(err) == codeWrongLast:
			r, settled, told := q.whoIsNext(ctx, stream, m.ID, last, unsure)
			if settled {
				return r, told
			}
			err = errors.Join(err, told)
		case errors.Is(err, nats.ErrNoResponders):
			err = q.explainNoResponders(ctx, stream)
			if final := classify(err); final != nil {
				return r, fmt.Errorf("queue: stream %s, message %s: %w: %w", stream, m.ID, final, err)
			}
		default:
			if final := classify(err); final != nil {
				return r, fmt.Errorf("queue: stream %s, message %s of %d bytes: %w: %w", stream, m.ID, size, final, err)
			}
			unsure = unsure || sent && apiCode(err) == 0
		}
		if ctx.Err() == nil || why == nil {
			why = err
		}
		if !q.pause(ctx, l, try) {
			return queue.Receipt{}, q.gaveUp(stream, m.ID, try, start, why)
		}
	}
}

// whoIsNext finds what a stream has at last+1, where a message was refused. Not
// settled: it is to be tried again.
func (q *Queue) whoIsNext(ctx context.Context, stream, id string, last uint64, unsure bool) (r queue.Receipt, settled bool, err error) {
	conflict := func(what string, args ...any) (queue.Receipt, bool, error) {
		return queue.Receipt{}, true, fmt.Errorf("queue: stream %s, message %s: %w: "+what, append([]any{stream, id, queue.ErrConflict}, args...)...)
	}
	state, err := q.leaderState(ctx, stream)
	switch {
	case err != nil:
		return r, errors.Is(err, queue.ErrNotFound), err
	case state.LastSeq < last:
		return conflict("the last sequence is %d, not %d: the stream was made anew", state.LastSeq, last)
	case state.LastSeq == last: // a cluster counts what it is about to store
		return r, false, errors.New("another message is being stored")
	}
	m, err := q.askLeader(ctx, stream, fmt.Sprintf("stream %s, sequence %d", stream, last+1), map[string]any{"seq": last + 1})
	switch {
	case errors.Is(err, queue.ErrNotFound) && unsure:
		return r, true, fmt.Errorf("queue: stream %s, message %s: %w: a confirmation was lost, and what was stored at %d is purged", stream, id, queue.ErrUnavailable, last+1)
	case errors.Is(err, queue.ErrNotFound):
		return conflict("the last sequence is %d, not %d", state.LastSeq, last)
	case err != nil:
		return r, false, err
	}
	h, err := headers(m.Header)
	if err != nil { // what another program wrote
		return conflict("the last sequence is %d, not %d, and what follows that has no headers that can be read: %v", state.LastSeq, last, err)
	}
	if h.Get(jetstream.MsgIDHeader) != id {
		return conflict("the last sequence is %d, not %d", state.LastSeq, last)
	}
	return queue.Receipt{Sequence: last + 1, Duplicate: true}, true, nil
}
