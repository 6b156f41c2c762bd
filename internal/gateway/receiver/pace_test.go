package receiver

import (
	"bytes"
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/otlp"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// paceClock goes on by a slice whenever it is read, and by what is slept.
type paceClock struct {
	at    atomic.Int64
	rests atomic.Int64 // how often there was one
	most  atomic.Int64 // the longest
}

func (c *paceClock) clock() clock {
	return clock{
		now: func() time.Time { return time.Unix(0, c.at.Add(int64(slice))) },
		after: func(d time.Duration) <-chan time.Time {
			c.rests.Add(1)
			c.most.Store(max(c.most.Load(), int64(d)))
			c.at.Add(int64(d))
			done := make(chan time.Time)
			close(done)
			return done
		},
	}
}

// stuck is a clock whose rests do not end.
func stuck(resting chan<- struct{}) clock {
	var c paceClock
	return clock{now: c.clock().now, after: func(time.Duration) <-chan time.Time {
		resting <- struct{}{}
		return nil
	}}
}

// bombing is a way to send a bomb, and what it is answered with.
var bombing = map[string]func(ctx context.Context, t *testing.T, d *door, b []byte) (refused, retryable bool){
	"HTTP": func(ctx context.Context, t *testing.T, d *door, b []byte) (bool, bool) {
		a, err := post(ctx, t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, "gzip", bytes.NewReader(pack(t, "gzip", b)))
		return err == nil && (a.code == 413 || a.code == 400), err == nil && a.code == 503
	},
	"gRPC": func(ctx context.Context, t *testing.T, d *door, b []byte) (bool, bool) {
		code := status.Code(exportBytes(ctx, d.dial(t), otlp.Traces, b, grpc.UseCompressor("gzip")))
		return code == codes.ResourceExhausted || code == codes.InvalidArgument, code == codes.Unavailable
	},
}

func roomy(s *setup) { s.limits.MaxRequestBytes, s.limits.MaxInFlightBytes = 10<<20, 40<<20 }

// TestSuspectsWorkInSlices: what a suspect sends is unpacked with a rest after each
// slice, whether it is too much or only garbage, and what was rested is not rested
// again.
func TestSuspectsWorkInSlices(t *testing.T) {
	for name, send := range bombing {
		for what, n := range map[string]int{"too much": 11 << 20, "garbage": 9 << 20} {
			d := open(t, roomy)
			var c paceClock
			owed := make(chan time.Duration, 1)
			d.suspects.clock = c.clock()
			d.suspects.after = func(rest time.Duration, end func()) { owed <- rest; end() }
			d.suspects.add(loopback, time.Now())
			if refused, _ := send(testContext(t), t, d, make([]byte, n)); !refused {
				t.Errorf("%s, %s: it was not refused", name, what)
			}
			want := int64(140) // of the measure; 64 KiB are a piece
			if what == "garbage" {
				want *= 2 // it is unpacked, too
			}
			if c.rests.Load() < want || c.most.Load() > int64(maxSliceRest) {
				t.Errorf("%s, %s: %d rests of up to %d ns", name, what, c.rests.Load(), c.most.Load())
			}
			select {
			case rest := <-owed:
				if rest > maxSliceRest {
					t.Errorf("%s, %s: after all these rests there is one of %v", name, what, rest)
				}
			default:
			}
			if len(d.suspects.turn) != 0 || len(largeSlots) != 0 {
				t.Errorf("%s, %s: a turn was not given back", name, what)
			}
		}
	}
}

// TestOwedRest: a rest after the turn is shortened by those inside.
func TestOwedRest(t *testing.T) {
	at := time.Unix(1, 0)
	for _, c := range []struct {
		took, rested, factor, want time.Duration
		arrived                    int
	}{
		{0, 0, 9, 360 * time.Millisecond, 10e6},
		{100 * time.Millisecond, 0, 9, 900 * time.Millisecond, 0},
		{100 * time.Millisecond, 90 * time.Millisecond, 9, 0, 0},
		{200 * time.Millisecond, 90 * time.Millisecond, 9, 900 * time.Millisecond, 0},
		{20 * time.Millisecond, 0, 99, 1980 * time.Millisecond, 0},
		{2 * time.Second, 1800 * time.Millisecond, 99, maxRest, 0},
		{time.Minute, 0, 9, maxRest, 0},
	} {
		v := visit{turnSince: at, rested: c.rested, arrived: c.arrived}
		if got := v.owed(at.Add(c.took), c.factor); got != c.want {
			t.Errorf("%v with rests of %v: %v, want %v", c.took, c.rested, got, c.want)
		}
	}
}

// TestRestsGrow: one request of a source for nothing after the other makes its rest
// longer, to a hundred times the work, until there was none for a minute.
func TestRestsGrow(t *testing.T) {
	s := newSuspects(1)
	now := time.Unix(1000, 0)
	other := loopback.Next()
	for s.place(other) == s.place(loopback) {
		other = other.Next()
	}
	for i, want := range []time.Duration{9, 9, 19, 39, 79, 99, 99} {
		s.add(loopback, now)
		if f := s.factor(loopback); f != want {
			t.Errorf("the rest after waste %d is %d times the work, want %d", i+1, f, want)
		}
		now = now.Add(suspicion - 1)
	}
	if f := s.factor(other); f != restFactor {
		t.Errorf("that of another source is %d times the work", f)
	}
	if s.add(loopback, now.Add(1)); s.factor(loopback) != restFactor {
		t.Errorf("a minute after the last it is %d times the work", s.factor(loopback))
	}
}

// TestSuspectsGoAtOnce: a rest ends with its client, and with the gateway.
func TestSuspectsGoAtOnce(t *testing.T) {
	for name, send := range bombing {
		d := open(t, roomy)
		resting := make(chan struct{}, 1)
		d.suspects.clock = stuck(resting)
		d.suspects.add(loopback, time.Now())
		owed := make(chan func(), 10)
		d.suspects.after = func(_ time.Duration, end func()) { owed <- end }
		ctx, leave := context.WithCancel(testContext(t))
		answered := make(chan bool, 2)
		go func() {
			_, retryable := send(ctx, t, d, make([]byte, 11<<20))
			answered <- retryable
		}()
		<-resting
		leave()
		<-answered
		select { // leaving is no way around the rest
		case end := <-owed:
			end()
		case <-testContext(t).Done():
			t.Fatalf("%s: nothing is rested for after who left", name)
		}
		if n := d.suspects.place(loopback).wastes.Load(); n != 2 {
			t.Errorf("%s: %d requests were for nothing, want 2 with that of who left", name, n)
		}
		if len(d.suspects.turn) != 0 {
			t.Errorf("%s: the turn of who left is not free after its rest", name)
		}
		for range 2 {
			go func() {
				_, retryable := send(testContext(t), t, d, make([]byte, 11<<20))
				answered <- retryable
			}()
		}
		<-resting
		eventually(t, name+": the other waits for the turn", func() bool { return d.suspects.waiting.Load() > 0 })
		d.Drain()
		for range 2 {
			if !<-answered {
				t.Errorf("%s: who rests or waits at the stop is not told to come again", name)
			}
		}
	}
}
