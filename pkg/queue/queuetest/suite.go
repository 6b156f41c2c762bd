package queuetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Options fit the suite to an implementation.
type Options struct {
	// AckWait of the consumers whose deliveries are meant to expire. 0: 500 ms.
	// Short makes the suite quick, too short makes deliveries expire that are
	// meant to be settled in time.
	AckWait time.Duration
	// Deadline of every wait. 0: a minute.
	Deadline time.Duration
}

// suite is what each test gets: a queue, names of its own, and short words for
// what is done most.
type suite struct {
	t      *testing.T
	ctx    context.Context
	o      Options
	q      queue.Queue
	stream string
}

// Run runs every test of the contract, each on a queue that open makes and that
// is closed at the end of the test. The tests run in parallel. The queues may
// share one store: stream names are different in each test.
func Run(t *testing.T, open func(t *testing.T) queue.Queue, o Options) {
	if o.AckWait == 0 {
		o.AckWait = 500 * time.Millisecond
	}
	if o.Deadline == 0 {
		o.Deadline = time.Minute
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of the time is waiting
			ctx, cancel := context.WithTimeout(t.Context(), o.Deadline)
			defer cancel()
			q := open(t)
			defer func() {
				if err := q.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			s := &suite{t: t, ctx: ctx, o: o, q: q, stream: "T_" + strings.ToUpper(strings.ReplaceAll(c.name, " ", "_"))}
			c.run(s)
		})
	}
}

var cases = []struct {
	name string
	run  func(*suite)
}{
	{"publish is confirmed and read back", (*suite).publishConfirmed},
	{"same id is stored once", (*suite).dedup},
	{"ids outlive their message within the window", (*suite).dedupWindow},
	{"full stream refuses and keeps all it confirmed", (*suite).full},
	{"publish resumes after purge", (*suite).resumeAfterPurge},
	{"too large is refused", (*suite).tooLarge},
	{"missing things are not found", (*suite).notFound},
	{"bad arguments are refused", (*suite).badArguments},
	{"publish ends with its context", (*suite).publishContext},
	{"many publishers", (*suite).manyPublishers},
	{"publish at one place or not at all", (*suite).publishNext},
	{"publish at a place of a full stream", (*suite).publishNextFull},
	{"many publishers at one chain", (*suite).publishNextMany},
	{"ensure is idempotent and concurrent", (*suite).ensure},
	{"limits grow and do not shrink below what is stored", (*suite).resize},
	{"purge takes up to and including", (*suite).purge},
	{"state of a stream", (*suite).streamState},

	{"a consumer is removed", (*suite).removeConsumer},
	{"a message is removed", (*suite).removeMessage},
	{"removable is decided at making", (*suite).notRemovable},

	{"browse is in order and waits", (*suite).browseOrder},
	{"browse from a sequence", (*suite).browseFrom},
	{"browse of headers", (*suite).browseHeaders},
	{"browse passes over what is purged", (*suite).browsePurged},
	{"browse in bounds", (*suite).browseLarge},
	{"browse while all are busy", (*suite).browseBusy},
	{"browse ends", (*suite).browseEnds},
	{"sequence at a time", (*suite).sequenceAt},

	{"values are compared and set", (*suite).storeConversation},
	{"values are listed", (*suite).storeList},
	{"a counter of values", (*suite).storeCounter},
	{"values are listed while they are written", (*suite).storeBusy},
	{"values have limits", (*suite).storeLimits},

	{"a lease has one holder", (*suite).leaseContended},
	{"a lease that is not renewed is taken over", (*suite).leaseExpires},
	{"a renewed lease is kept", (*suite).leaseRenewed},
	{"a released lease is free at once", (*suite).leaseReleased},
	{"bad leases are refused", (*suite).leaseArguments},

	{"consumers are independent", (*suite).independent},
	{"consumer before messages and readers", (*suite).consumerFirst},
	{"first deliveries are in order", (*suite).order},
	{"unsettled comes back after ack wait", (*suite).redelivery},
	{"retry comes back after the time", (*suite).retry},
	{"reject never comes back", (*suite).reject},
	{"extend holds a delivery", (*suite).extend},
	{"ack sync is confirmed", (*suite).ackSync},
	{"settled once", (*suite).settleOnce},
	{"ack floor", (*suite).ackFloor},
	{"max ack pending", (*suite).maxAckPending},
	{"shared consumer splits", (*suite).shared},
	{"close gives back", (*suite).closeGivesBack},
	{"bounded reading of large messages", (*suite).largeMessages},
	{"a message above the byte bound", (*suite).aboveBound},
	{"next without waiting", (*suite).tryNext},
	{"next ends with its context", (*suite).nextContext},
	{"closed queue and consumer", (*suite).closed},
}

func (s *suite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) wantErr(err, want error) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Fatalf("error is %v, want %v", err, want)
	}
}

// is reports another error, for goroutines of a test.
func (s *suite) is(err, want error) bool {
	if errors.Is(err, want) {
		return true
	}
	s.t.Errorf("error is %v, want %v", err, want)
	return false
}

// make makes the stream and a consumer of each name, with a long ack wait.
func (s *suite) make(maxBytes int64, consumers ...string) {
	s.t.Helper()
	s.must(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: maxBytes}))
	for _, c := range consumers {
		s.consumer(c, 30*time.Second)
	}
}

func (s *suite) consumer(name string, ackWait time.Duration) {
	s.t.Helper()
	s.must(s.q.EnsureConsumer(s.ctx, s.stream, queue.ConsumerConfig{Name: name, AckWait: ackWait}))
}

// put publishes messages with the given ids, and bodies that are made of them.
func (s *suite) put(ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		if _, err := s.q.Publish(s.ctx, s.stream, msg(id)); err != nil {
			s.t.Fatalf("publish %s: %v", id, err)
		}
	}
}

func msg(id string) *queue.Message {
	return &queue.Message{ID: id, Header: map[string]string{"Penstock-Signal": "traces"}, Body: []byte("body of " + id)}
}

func ids(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("m%03d", i+1))
	}
	return out
}

func (s *suite) read(consumer string) queue.Consumer {
	return s.readWith(consumer, queue.ConsumeOptions{})
}

// readWith opens a reader that is closed with the test.
func (s *suite) readWith(consumer string, o queue.ConsumeOptions) queue.Consumer {
	s.t.Helper()
	c, err := s.q.Consume(s.ctx, s.stream, consumer, o)
	s.must(err)
	s.t.Cleanup(func() { _ = c.Close() }) // Close is idempotent
	return c
}

func (s *suite) next(c queue.Consumer) queue.Delivery {
	s.t.Helper()
	d, err := c.Next(s.ctx)
	s.must(err)
	return d
}

// expect wants the next delivery to be of this id, and at this attempt.
func (s *suite) expect(c queue.Consumer, id string, attempt int) queue.Delivery {
	s.t.Helper()
	d := s.next(c)
	if d.Message().ID != id || d.Attempt() != attempt {
		s.t.Fatalf("delivered %s at attempt %d, want %s at attempt %d", d.Message().ID, d.Attempt(), id, attempt)
	}
	return d
}

// quiet wants nothing to be delivered for a while.
func (s *suite) quiet(c queue.Consumer, d time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, d)
	defer cancel()
	got, err := c.Next(ctx)
	if err == nil {
		s.t.Fatalf("delivered %s at attempt %d, want nothing", got.Message().ID, got.Attempt())
	}
	s.wantErr(err, context.DeadlineExceeded)
}

// until polls for a state of the consumer: acks are not waited for.
func (s *suite) until(consumer, what string, ok func(queue.ConsumerState) bool) {
	s.t.Helper()
	for {
		st, err := s.q.ConsumerState(s.ctx, s.stream, consumer)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok(st) {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-s.ctx.Done():
			s.t.Fatalf("no %s in time: %+v", what, st)
		}
	}
}
