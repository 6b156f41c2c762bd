// Package tap shows people what lies in the queue and what passes through it,
// decoded and filtered, without disturbing anyone who reads it.
//
//	stream ──Browse──▶ follower ─┐
//	stream ──Browse──▶ follower ─┼─▶ one at a time: decode, filter ──▶ emit
//	stream ──Browse──▶ follower ─┘
//
// # Guarantees
//
//   - No consumer, ack floor or message of the queue is changed, and nothing is
//     left behind.
//   - Memory is bounded: what Browse reads ahead for each stream, and one decoded
//     message. A tap that is too slow for a live stream skips ahead and says how
//     many messages it left out.
//   - What cannot be shown is told and passed over: damaged messages, messages
//     that are larger than the bound when decoded, messages of a newer version.
//   - No text of the telemetry reaches a terminal as anything but text: Line and
//     AppendJSON write control and formatting characters in escaped form.
package tap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Options say what to show.
type Options struct {
	// Archive is read from; Plan names the streams, which must exist.
	Archive queue.Archive
	Plan    topology.Plan

	// Signals; empty: all.
	Signals []otlp.Signal
	// Tenants; empty: all, and what has none.
	Tenants []string
	// Services are values of service.name; empty: all.
	Services []string
	// Where must hold for the attributes of the resource, Attributes for those
	// of the span, point or log record.
	Where      otlp.Conditions
	Attributes otlp.Conditions

	// Oldest begins with the oldest message that is stored, Since with the first
	// one stored at that time or later, by the queue's clock. With neither only
	// what comes is shown.
	Oldest bool
	Since  time.Time
	// Once ends with the last message that is stored when Run begins; else Run
	// follows what comes.
	Once bool
	// Limit ends after so many items; 0: none.
	Limit int

	// Full fills Item.OTLP.
	Full bool

	// MaxMessageBytes bounds a decoded message; 0: 64 MiB.
	MaxMessageBytes int
	// MaxBehind is how many messages a tap that had come up with a stream may
	// fall behind it before it skips ahead; 0: 256.
	MaxBehind int
}

const (
	defaultMessageBytes = 64 << 20
	defaultBehind       = 256
)

const serviceName = "service.name"

// Validate tells what of the options is wrong.
func (o *Options) Validate() error {
	switch {
	case o.Oldest && !o.Since.IsZero():
		return errors.New("tap: begin with the oldest message or with a time, not both")
	case o.Limit < 0, o.MaxMessageBytes < 0, o.MaxBehind < 0:
		return fmt.Errorf("tap: limit %d, message bytes %d and messages behind %d must not be negative", o.Limit, o.MaxMessageBytes, o.MaxBehind)
	}
	for _, s := range o.Signals {
		if s >= otlp.NumSignals {
			return fmt.Errorf("tap: there is no signal %d", uint8(s))
		}
	}
	return nil
}

// streams lists what to follow.
func (o *Options) streams() (list []stream) {
	for _, s := range otlp.Signals {
		if len(o.Signals) > 0 && !slices.Contains(o.Signals, s) {
			continue
		}
		for _, name := range o.Plan.Streams(s) {
			list = append(list, stream{name, s})
		}
	}
	return list
}

type stream struct {
	name   string
	signal otlp.Signal
}

// errDone ends a run that has shown all it should.
var errDone = errors.New("tap is done")

// Run shows what is asked for by calling emit, one call at a time, for items and
// for what could not be shown, in the order of each stream and, of several
// streams, as it comes. It returns nil when ctx ends, the limit is reached, or
// with Once the end; an error of emit as it is; and the error of the queue, with
// the stream, when one cannot be read. When it returns nothing of it runs on.
//
// An Item and all it holds belong to emit.
func Run(ctx context.Context, o Options, emit func(Item) error) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.MaxMessageBytes == 0 {
		o.MaxMessageBytes = defaultMessageBytes
	}
	if o.MaxBehind == 0 {
		o.MaxBehind = defaultBehind
	}
	t := &tap{o: o, emit: emit, service: services(o.Services)}
	group, work := errgroup.WithContext(ctx)
	for _, s := range o.streams() {
		f := &follower{tap: t, stream: s}
		group.Go(func() error {
			if err := f.run(work); err != nil && work.Err() == nil {
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	switch {
	case t.failed != nil:
		return t.failed
	case errors.Is(err, errDone):
		return nil
	}
	return err
}

// tap is one run.
type tap struct {
	o       Options
	service map[string]bool

	// mu guards what follows, and lets one message at a time be decoded.
	mu    sync.Mutex
	emit  func(Item) error
	raw   []byte // the decoded message
	lone  []byte // a request with one item
	shown int
	// done: nothing more is shown, because of the limit or of failed, the error
	// of emit.
	done   bool
	failed error
}

func services(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// wantsTenant decides by the header.
func (t *tap) wantsTenant(tenant string) bool {
	return len(t.o.Tenants) == 0 || slices.Contains(t.o.Tenants, tenant)
}

// wantsResource decides about a resource.
func (t *tap) wantsResource(a otlp.Attributes) bool {
	if t.service != nil && !t.service[a.Text(serviceName)] {
		return false
	}
	return t.o.Where.Match(a)
}

// giveLocked hands an item to emit and ends the run when that was the last.
func (t *tap) giveLocked(i Item) error {
	if t.done {
		return errDone
	}
	if err := t.emit(i); err != nil {
		t.done, t.failed = true, err
		return err
	}
	if i.Kind == KindItem {
		if t.shown++; t.shown == t.o.Limit {
			t.done = true
			return errDone
		}
	}
	return nil
}

// tell hands on what could not be shown.
func (t *tap) tell(i Item) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.giveLocked(i)
}
