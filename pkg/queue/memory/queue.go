package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

const (
	defaultDedupWindow   = 60 * time.Second
	defaultAckWait       = 60 * time.Second
	defaultMaxAckPending = 512
	defaultMaxMessage    = 8 << 20
)

// Queue implements queue.Queue. The zero value is not usable; see New.
type Queue struct {
	maxMessage int

	mu      sync.Mutex // guards everything below, and all streams and consumers
	streams map[string]*stream
	leases  map[string]lease
	values  map[string]queue.Value
	saved   uint64        // the last revision
	changed chan struct{} // closed and replaced when a waiting Next should look
	closed  bool
}

var _ queue.Queue = (*Queue)(nil)

// Option of New.
type Option func(*Queue)

// WithMaxMessageBytes sets the largest message. Default 8 MiB.
func WithMaxMessageBytes(n int) Option { return func(q *Queue) { q.maxMessage = n } }

// New makes an empty queue.
func New(options ...Option) *Queue {
	q := &Queue{maxMessage: defaultMaxMessage, streams: map[string]*stream{}, leases: map[string]lease{},
		values: map[string]queue.Value{}, changed: make(chan struct{})}
	for _, o := range options {
		o(q)
	}
	return q
}

// wakeLocked lets every waiting Next look again.
func (q *Queue) wakeLocked() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// MaxMessageBytes implements queue.Publisher.
func (q *Queue) MaxMessageBytes() int { return q.maxMessage }

// Ready implements queue.Queue.
func (q *Queue) Ready(context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	return nil
}

// Close implements queue.Queue.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.wakeLocked()
	}
	return nil
}

// streamLocked checks ctx and the state too, as each operation does first.
func (q *Queue) streamLocked(ctx context.Context, name string) (*stream, error) {
	if q.closed {
		return nil, queue.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("queue: stream %s: %w: %w", name, queue.ErrUnavailable, err)
	}
	s := q.streams[name]
	if s == nil {
		return nil, fmt.Errorf("queue: stream %s: %w", name, queue.ErrNotFound)
	}
	return s, nil
}

// Publish implements queue.Publisher. The message is copied.
func (q *Queue) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	return q.publish(ctx, stream, m, queue.AnyRevision)
}

// PublishNext implements queue.Publisher.
func (q *Queue) PublishNext(ctx context.Context, stream string, m *queue.Message, last uint64) (queue.Receipt, error) {
	return q.publish(ctx, stream, m, last)
}

// publish stores m if the stream's last sequence is last, or that is AnyRevision.
func (q *Queue) publish(ctx context.Context, stream string, m *queue.Message, last uint64) (queue.Receipt, error) {
	if m.ID == "" {
		return queue.Receipt{}, fmt.Errorf("queue: stream %s: a message needs an ID to be published once", stream)
	}
	if n := size(m); n > q.maxMessage {
		return queue.Receipt{}, fmt.Errorf("queue: stream %s, message %s: %w: %d bytes, limit %d",
			stream, m.ID, queue.ErrTooLarge, n, q.maxMessage)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return queue.Receipt{}, err
	}
	now := time.Now()
	if seq, ok := s.seen(m.ID, now); ok {
		return queue.Receipt{Sequence: seq, Duplicate: true}, nil
	}
	if last != queue.AnyRevision && last != s.last() {
		return queue.Receipt{}, fmt.Errorf("queue: stream %s, message %s: %w: the last sequence is %d, not %d", stream, m.ID, queue.ErrConflict, s.last(), last)
	}
	if n := size(m); s.bytes+int64(n) > s.cfg.MaxBytes {
		return queue.Receipt{}, fmt.Errorf("queue: stream %s, message %s: %w: %d bytes do not fit %d of %d",
			stream, m.ID, queue.ErrFull, n, s.bytes, s.cfg.MaxBytes)
	}
	seq := s.append(m, now)
	q.wakeLocked()
	return queue.Receipt{Sequence: seq}, nil
}

// EnsureStream implements queue.Provisioner.
func (q *Queue) EnsureStream(_ context.Context, c queue.StreamConfig) error {
	if c.Name == "" || c.MaxBytes <= 0 || c.DedupWindow < 0 {
		return fmt.Errorf("queue: stream %q: a name and positive max bytes are needed, not %d (dedup window %s)", c.Name, c.MaxBytes, c.DedupWindow)
	}
	if c.DedupWindow == 0 {
		c.DedupWindow = defaultDedupWindow
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	s := q.streams[c.Name]
	switch {
	case s == nil:
		q.streams[c.Name] = &stream{cfg: c, first: 1, ids: map[string]uint64{}, consumers: map[string]*consumer{}}
	case c.MaxBytes < s.bytes:
		return fmt.Errorf("queue: stream %s holds %d bytes of a limit of %d and cannot shrink to %d", c.Name, s.bytes, s.cfg.MaxBytes, c.MaxBytes)
	default:
		c.Removable = s.cfg.Removable
		s.cfg = c
	}
	return nil
}

// EnsureConsumer implements queue.Provisioner.
func (q *Queue) EnsureConsumer(ctx context.Context, stream string, c queue.ConsumerConfig) error {
	if c.Name == "" || c.AckWait < 0 || c.MaxAckPending < 0 {
		return fmt.Errorf("queue: consumer %q of stream %s: a name is needed, and ack wait %s and max ack pending %d must not be negative",
			c.Name, stream, c.AckWait, c.MaxAckPending)
	}
	if c.AckWait == 0 {
		c.AckWait = defaultAckWait
	}
	if c.MaxAckPending == 0 {
		c.MaxAckPending = defaultMaxAckPending
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return err
	}
	if have := s.consumers[c.Name]; have != nil {
		have.cfg = c
	} else {
		s.consumers[c.Name] = &consumer{cfg: c, next: s.first, floor: s.first - 1, pending: map[uint64]*pending{}, settled: map[uint64]bool{}}
	}
	q.wakeLocked()
	return nil
}

// RemoveConsumer implements queue.Provisioner.
func (q *Queue) RemoveConsumer(ctx context.Context, stream, name string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, _, err := q.consumerLocked(ctx, stream, name)
	if err != nil {
		return err
	}
	delete(s.consumers, name)
	q.wakeLocked()
	return nil
}

// StreamState implements queue.Provisioner.
func (q *Queue) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return queue.StreamState{}, err
	}
	st := queue.StreamState{
		Name: stream, Messages: s.live(s.first), Bytes: uint64(s.bytes), MaxBytes: s.cfg.MaxBytes,
		FirstSeq: s.first, LastSeq: s.last(), LastTime: s.lastTime,
		Consumers: slices.Sorted(maps.Keys(s.consumers)),
	}
	if len(s.log) > 0 {
		st.FirstTime = s.log[0].at
	}
	return st, nil
}

// ConsumerState implements queue.Provisioner.
func (q *Queue) ConsumerState(ctx context.Context, stream, name string) (queue.ConsumerState, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, c, err := q.consumerLocked(ctx, stream, name)
	if err != nil {
		return queue.ConsumerState{}, err
	}
	st := queue.ConsumerState{Name: name, AckFloor: c.floor, AckPending: len(c.pending)}
	st.Pending = s.live(c.next)
	for _, p := range c.pending {
		if p.attempt > 1 {
			st.Redelivered++
		}
	}
	return st, nil
}

func (q *Queue) consumerLocked(ctx context.Context, stream, name string) (*stream, *consumer, error) {
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return nil, nil, err
	}
	c := s.consumers[name]
	if c == nil {
		return nil, nil, fmt.Errorf("queue: consumer %s of stream %s: %w", name, stream, queue.ErrNotFound)
	}
	return s, c, nil
}

// Get implements queue.Provisioner.
func (q *Queue) Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return nil, time.Time{}, err
	}
	e := s.entry(seq)
	if e == nil {
		return nil, time.Time{}, fmt.Errorf("queue: stream %s, sequence %d: %w", stream, seq, queue.ErrNotFound)
	}
	return e.msg, e.at, nil
}

// Purge implements queue.Provisioner.
func (q *Queue) Purge(ctx context.Context, stream string, seq uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return err
	}
	s.purge(seq)
	q.wakeLocked()
	return nil
}

// RemoveMessage implements queue.Provisioner.
func (q *Queue) RemoveMessage(ctx context.Context, stream string, seq uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return err
	}
	if !s.cfg.Removable {
		return fmt.Errorf("queue: stream %s was not made removable: single messages cannot be removed from it, only purged", stream)
	}
	if s.entry(seq) == nil {
		return fmt.Errorf("queue: stream %s, sequence %d: %w", stream, seq, queue.ErrNotFound)
	}
	s.remove(seq)
	q.wakeLocked()
	return nil
}
