package queue

import (
	"context"
	"errors"
	"time"
)

// Errors that callers tell apart with errors.Is. Implementations wrap them with
// the stream, the numbers and what to do.
var (
	// ErrFull: the stream is at its limit and stored nothing. Retry later.
	ErrFull = errors.New("queue is full")
	// ErrUnavailable: no confirmation within the deadline, or no connection.
	// The outcome is unknown; retry with the same ID.
	ErrUnavailable = errors.New("queue is unavailable")
	// ErrTooLarge: the message exceeds MaxMessageBytes and can never be stored.
	ErrTooLarge = errors.New("message is larger than the queue accepts")
	// ErrNotFound: no such stream, consumer or message.
	ErrNotFound = errors.New("not found in the queue")
	// ErrNoRoom: a stream cannot be made because its MaxBytes do not fit the
	// store. A limit must be changed by the operator.
	ErrNoRoom = errors.New("queue store has no room for the stream")
	// ErrClosed: the queue, or the consumer, was closed by this process.
	ErrClosed = errors.New("queue is closed")
)

// Message is one opaque entry. Header values are short printable ASCII.
type Message struct {
	// ID makes publishing idempotent: unique for each message, the same on
	// each repetition of it. Required for Publish.
	ID     string
	Header map[string]string
	Body   []byte
}

// Receipt says where a message is stored.
type Receipt struct {
	Sequence  uint64 // position in the stream, from 1; 0 when not known
	Duplicate bool   // it was already stored by an earlier Publish of the ID
}

// Publisher stores messages.
type Publisher interface {
	// Publish stores m on the stream and waits for the confirmation. It repeats
	// failed tries with the same ID while ctx allows, at most for the publish
	// horizon of the implementation, which is shorter than the dedup window.
	// ErrFull is answered at once. m and its bytes belong to the caller again
	// when Publish returns, and are not changed. Safe for concurrent use.
	Publish(ctx context.Context, stream string, m *Message) (Receipt, error)
	// PublishNext is Publish if the last sequence that the stream ever gave is
	// last (0: none), so that m is stored at last+1 or not at all; ErrConflict
	// when it is another. A repetition of its own that was stored is a success
	// with Receipt.Duplicate. After ErrUnavailable the outcome is unknown: whoever
	// goes on either repeats it with the same ID and last, or reads what the stream
	// has at last+1. Of several that publish at the same place one succeeds.
	PublishNext(ctx context.Context, stream string, m *Message, last uint64) (Receipt, error)
	// MaxMessageBytes is the largest body plus header that Publish accepts.
	MaxMessageBytes() int
}

// StreamConfig describes a stream. Storage is on file, retention by limits with
// refusal when full, without age limit.
type StreamConfig struct {
	Name string
	// MaxBytes is the size at which the stream refuses. Required.
	MaxBytes int64
	// DedupWindow is how long IDs are remembered. 0: 60 s.
	DedupWindow time.Duration
	// Removable lets RemoveMessage take single messages out. It is decided when
	// the stream is made: one that exists is left as it is.
	Removable bool
}

// StreamState is what a stream holds now.
type StreamState struct {
	Name                string
	Messages, Bytes     uint64
	MaxBytes            int64
	FirstSeq, LastSeq   uint64 // FirstSeq = LastSeq+1 when empty
	FirstTime, LastTime time.Time
	Consumers           []string // names of durable consumers, sorted
}

// ConsumerConfig describes a durable consumer, which starts at the first
// message that the stream holds when the consumer is made.
type ConsumerConfig struct {
	Name          string
	AckWait       time.Duration // 0: 60 s
	MaxAckPending int           // deliveries unsettled at a time, over all readers. 0: 512
}

// ConsumerState is the progress of a durable consumer.
type ConsumerState struct {
	Name        string
	AckFloor    uint64 // every message up to here is settled
	Pending     uint64 // not yet delivered for the first time
	AckPending  int    // delivered and not settled
	Redelivered int    // of these, delivered more than once
}

// Provisioner makes and inspects streams and consumers. Ensure calls are
// idempotent, safe from many processes at once, and never shrink or empty what
// exists: a difference that cannot be applied is an error.
type Provisioner interface {
	EnsureStream(ctx context.Context, c StreamConfig) error
	EnsureConsumer(ctx context.Context, stream string, c ConsumerConfig) error
	StreamState(ctx context.Context, stream string) (StreamState, error)
	ConsumerState(ctx context.Context, stream, consumer string) (ConsumerState, error)
	// Get reads one message without disturbing any consumer. ErrNotFound when
	// it was purged or does not exist yet.
	Get(ctx context.Context, stream string, seq uint64) (*Message, time.Time, error)
	// Purge removes every message with a sequence up to and including seq.
	Purge(ctx context.Context, stream string, seq uint64) error
	// RemoveConsumer deletes a durable consumer with its progress, which cannot
	// be taken back: made again, it starts at the first message stored. Its
	// readers get ErrNotFound. ErrNotFound when there is none.
	RemoveConsumer(ctx context.Context, stream, consumer string) error
	// RemoveMessage takes one message out of a stream that was made Removable;
	// another kind of stream is an error. Every consumer has it settled then.
	// ErrNotFound when there is no such message, or no more.
	RemoveMessage(ctx context.Context, stream string, seq uint64) error
}

// ConsumeOptions bound what a reader takes in advance of its caller.
type ConsumeOptions struct {
	// MaxBytes bounds the bodies pulled and not yet returned by Next. It must
	// be larger than the largest message. 0: 16 MiB.
	MaxBytes int
	// MaxMessages bounds their number. 0: 64.
	MaxMessages int
}

// Consumer is one reader of a durable consumer.
type Consumer interface {
	// Next returns the next delivery; it waits until there is one, ctx ends
	// (ctx.Err()), or the consumer is closed (ErrClosed). Passing trouble
	// (reconnects, leader changes, a stalled pull) is overcome inside. Not safe
	// for concurrent use; deliveries are.
	Next(ctx context.Context) (Delivery, error)
	// TryNext returns a delivery that is here already, without waiting; false
	// when there is none now, also after Close and an error, which Next tells.
	// It is for whoever calls Next, and not safe beside it.
	TryNext() (Delivery, bool)
	// Close stops pulling and gives back what Next did not return. Deliveries
	// already returned can still be settled.
	Close() error
}

// Delivery is one handing-over of a message. It is to be settled once: Ack,
// Retry or Reject; the first counts and a further one is an error. A delivery
// that is never settled comes back after AckWait.
type Delivery interface {
	// Message is owned by the delivery and stays valid; it must not be changed.
	Message() *Message
	Stream() string
	Sequence() uint64
	// Attempt is 1 for the first delivery.
	Attempt() int
	// StoredAt is the queue's own time at storing.
	StoredAt() time.Time
	// Ack settles the message as done, without waiting for the server: after a
	// crash it may come back.
	Ack() error
	// AckSync settles and waits for the server's confirmation.
	AckSync(ctx context.Context) error
	// Retry gives the message back, to be delivered again after the time.
	Retry(after time.Duration) error
	// Reject settles the message as never to be delivered again to this
	// consumer. Whoever rejects must have kept it elsewhere first.
	Reject(reason string) error
	// Extend starts AckWait anew.
	Extend() error
}

// Leaser lets processes agree on who does what only one should do.
type Leaser interface {
	// Lease takes the lease of that name for holder, or renews it. held is true
	// when it is holder's until ttl after the call began: whoever wants to keep
	// it renews in good time, and whoever cannot stops acting on it. False
	// without an error means that another holds it. On an error the lease may be
	// held until ttl has passed, and nobody may act on it.
	//
	// A holder is unique to a process. Names and holders are 1 to 128 of A-Z,
	// a-z, 0-9, _ and -.
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (held bool, err error)
	// Release gives back what holder has, so that the next one need not wait for
	// the ttl. A lease that is not holder's is left alone, without an error.
	Release(ctx context.Context, name, holder string) error
}

// Queue is everything of one connection.
type Queue interface {
	Publisher
	Provisioner
	Leaser
	Archive
	Store
	// Consume opens a reader of a durable consumer made by EnsureConsumer;
	// ErrNotFound when there is none.
	Consume(ctx context.Context, stream, consumer string, o ConsumeOptions) (Consumer, error)
	// Ready is nil when a Publish would be tried now; else it says why not.
	Ready(ctx context.Context) error
	// Close ends connections. It is idempotent.
	Close() error
}
