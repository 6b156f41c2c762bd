package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// SequenceAt implements queue.Archive. It asks the leader of the stream, whose
// answer is not behind what was confirmed.
func (q *Queue) SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	if epoch := time.Unix(0, 0); t.Before(epoch) {
		t = epoch // the server counts ns from there
	}
	if err := checkStream(stream); err != nil {
		return 0, err
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	for try := 0; ; try++ {
		seq, err := q.sequenceAt(ctx, stream, t)
		if err != nil || seq > 0 {
			return seq, err
		}
		if try == 3 {
			return 0, fmt.Errorf("queue: stream %s, sequence at %s: %w: it is being purged faster than it is read", stream, t.UTC().Format(time.RFC3339Nano), queue.ErrUnavailable)
		}
	}
}

// sequenceAt gives 0 when what is there has changed meanwhile.
func (q *Queue) sequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	state, err := q.leaderState(ctx, stream)
	if err != nil {
		return 0, err
	}
	if state.Msgs == 0 || state.LastTime.Before(t) {
		return state.LastSeq + 1, nil
	}
	what := fmt.Sprintf("stream %s at %s", stream, t.UTC().Format(time.RFC3339Nano))
	m, err := q.askLeader(ctx, stream, what, map[string]any{"start_time": t.UTC(), "next_by_subj": ">", "no_hdr": true})
	switch {
	case err == nil:
		return m.Sequence, nil
	case !errors.Is(err, queue.ErrNotFound):
		return 0, err
	}
	// What there was is removed. Nothing is there from t on, if nothing was stored
	// since the question.
	now, err := q.leaderState(ctx, stream)
	if err != nil || now.LastSeq != state.LastSeq {
		return 0, err
	}
	return state.LastSeq + 1, nil
}

// leaderState is the state of a stream, patiently.
func (q *Queue) leaderState(ctx context.Context, stream string) (jetstream.StreamState, error) {
	var answer struct {
		State jetstream.StreamState `json:"state"`
	}
	if err := q.ask(ctx, "$JS.API.STREAM.INFO."+stream, nil, &answer); err != nil {
		return jetstream.StreamState{}, apiError("stream "+stream, err)
	}
	return answer.State, nil
}

// RemoveConsumer implements queue.Provisioner.
func (q *Queue) RemoveConsumer(ctx context.Context, stream, consumer string) error {
	if err := checkConsumer(consumer); err != nil {
		return err
	}
	s, done, ctx, err := q.stream(ctx, stream)
	if err != nil {
		return err
	}
	defer done()
	if err := s.DeleteConsumer(ctx, consumer); err != nil {
		return apiError("consumer "+consumer+" of stream "+stream, err)
	}
	return nil
}

// RemoveMessage implements queue.Provisioner. The bytes are not overwritten.
func (q *Queue) RemoveMessage(ctx context.Context, stream string, seq uint64) error {
	s, done, ctx, err := q.stream(ctx, stream)
	if err != nil {
		return err
	}
	defer done()
	what := fmt.Sprintf("stream %s, sequence %d", stream, seq)
	if info := s.CachedInfo(); info.Config.DenyDelete {
		return fmt.Errorf("queue: %s: the stream was not made removable (deny_delete), which cannot be changed: single messages cannot be removed from it, only purged; to have that, drain it, delete it and let it be made again", what)
	} else if seq == 0 || seq < info.State.FirstSeq || seq > info.State.LastSeq {
		return fmt.Errorf("queue: %s: %w", what, queue.ErrNotFound)
	}
	if err = s.DeleteMsg(ctx, seq); err == nil {
		return nil
	}
	// Of a message that is gone some servers only say that it failed, and the
	// library does not pass the code on.
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) || apiCode(err) != 0 {
		if _, gone := q.askLeader(ctx, stream, what, map[string]any{"seq": seq, "no_hdr": true}); errors.Is(gone, queue.ErrNotFound) {
			return gone
		}
		return fmt.Errorf("queue: %s: %w", what, err)
	}
	return apiError(what, err)
}
