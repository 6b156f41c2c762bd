package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// ErrRefused is in what a Sink answers of a request that it will never take. The
// request is counted and passed over.
var ErrRefused = errors.New("request is refused for good")

// Sink takes what is kept.
type Sink interface {
	// Append takes a request of a tenant, whole or not at all. storedAt is when the
	// queue stored it. It may wait, and the stream waits with it; calls for one
	// stream come one at a time, those of several streams at once. request is the
	// caller's again when it returns. After any error but ErrRefused the same
	// request comes again.
	Append(ctx context.Context, tenant string, request []byte, storedAt time.Time) error
}

// Source is what intake needs of the queue.
type Source interface {
	queue.Archive
	StreamState(ctx context.Context, stream string) (queue.StreamState, error)
}

// Options of an Intake.
type Options struct {
	// Source is read from, and Streams are those of metrics.
	Source  Source
	Streams []string
	// From is where to begin: with the first message stored at that time or later.
	From time.Time
	// Wants tells which metrics of a tenant are to be kept; nil: none. It is called
	// for each message, what it returns for each metric, from several goroutines.
	Wants func(tenant string) func(otlp.MetricHead) bool
	Sink  Sink
	// Lost is told of messages that were purged before they could be read, from one
	// sequence to before another. nil: they are logged and counted alone.
	Lost func(stream string, from, to uint64)

	Metrics *Metrics
	Logger  *slog.Logger // nil: nothing is logged

	// LookEvery is how often a stream is asked how far it has come, and by how much
	// Watermark may lag on a stream that is drained. 0: 1 s.
	LookEvery time.Duration
	// MaxSpread is how far a stream may be read ahead of another. 0: 30 s.
	MaxSpread time.Duration
	// MaxMessageBytes bounds a decoded message; 0: 64 MiB.
	MaxMessageBytes int
	// ReadAheadBytes is BrowseOptions.MaxBytes of each stream; 0: 16 MiB.
	ReadAheadBytes int
}

func (o *Options) fill() error {
	switch {
	case o.Source == nil || o.Sink == nil || o.Wants == nil || o.Metrics == nil:
		return errors.New("intake: source, sink, wants and metrics are required")
	case len(o.Streams) == 0:
		return errors.New("intake: there is no stream to read")
	case o.From.IsZero():
		return errors.New("intake: there is no time to begin with")
	case o.LookEvery < 0 || o.MaxSpread < 0 || o.MaxMessageBytes < 0 || o.ReadAheadBytes < 0:
		return fmt.Errorf("intake: look every %s, max spread %s, message bytes %d and read ahead bytes %d must not be negative",
			o.LookEvery, o.MaxSpread, o.MaxMessageBytes, o.ReadAheadBytes)
	}
	if o.LookEvery == 0 {
		o.LookEvery = time.Second
	}
	if o.MaxSpread == 0 {
		o.MaxSpread = 30 * time.Second
	}
	if o.MaxMessageBytes == 0 {
		o.MaxMessageBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Intake reads streams. Its methods are safe for concurrent use.
type Intake struct {
	o     Options
	marks *marks
}

// New checks the options; Run does the reading.
func New(o Options) (*Intake, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	i := &Intake{o: o, marks: newMarks(len(o.Streams), o.MaxSpread)}
	o.Metrics.of(i)
	return i, nil
}

// Watermark is the time up to which all that was stored is with the sink; the zero
// time as long as that is not known of every stream. Of a stream that is drained it
// is the process' clock before the stream was asked, else the queue's time of the
// last message taken.
func (i *Intake) Watermark() time.Time { return i.marks.least() }

// Run reads until ctx ends, and then returns nil. It overcomes all trouble of the
// queue but that this process has closed it, which it returns. It is called once.
// When it returns nothing of it runs on.
func (i *Intake) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for n, name := range i.o.Streams {
		f := &follower{in: i, index: n, name: name, log: i.o.Logger.With("stream", name), stored: i.o.From}
		group.Go(func() error { return f.run(ctx) })
	}
	return group.Wait()
}
