package receiver

import (
	"bytes"
	"context"
	"math/rand/v2"
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
	for _, c := range []struct{ took, rested, want time.Duration }{
		{100 * time.Millisecond, 0, 900 * time.Millisecond},
		{100 * time.Millisecond, 90 * time.Millisecond, 0},
		{200 * time.Millisecond, 90 * time.Millisecond, 900 * time.Millisecond},
		{time.Minute, 0, maxRest},
		{time.Minute, time.Second, maxRest - time.Second},
	} {
		v := visit{turnSince: at, rested: c.rested}
		if got := v.owed(at.Add(c.took)); got != c.want {
			t.Errorf("%v with rests of %v: %v, want %v", c.took, c.rested, got, c.want)
		}
	}
}

// TestSuspectsGoAtOnce: a rest ends with its client, and with the gateway.
func TestSuspectsGoAtOnce(t *testing.T) {
	for name, send := range bombing {
		d := open(t, roomy)
		resting := make(chan struct{}, 1)
		d.suspects.clock = stuck(resting)
		d.suspects.add(loopback, time.Now())
		ctx, leave := context.WithCancel(testContext(t))
		answered := make(chan bool, 2)
		go func() {
			_, retryable := send(ctx, t, d, make([]byte, 11<<20))
			answered <- retryable
		}()
		<-resting
		leave()
		<-answered
		eventually(t, name+": the turn of who left is free", func() bool { return len(d.suspects.turn) == 0 })
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

// TestSuspectsLeaveRoom: those who wait for the turn of the suspects have half of
// what may be in flight.
func TestSuspectsLeaveRoom(t *testing.T) {
	d := open(t, func(s *setup) { s.limits.MaxRequestBytes, s.limits.MaxInFlightBytes = 4<<20, 13<<20 })
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	body := pack(t, "gzip", noise)
	d.suspects.add(loopback, time.Now())
	d.suspects.turn <- struct{}{}
	answers := make(chan int, 3)
	for range 3 {
		go func() {
			a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, "gzip", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
			}
			answers <- a.code
		}()
	}
	if code := <-answers; code != 503 {
		t.Errorf("the third of 3 MiB, of 13 that may be in flight: %d", code)
	}
	<-d.suspects.turn
	for range 2 {
		if code := <-answers; code != 400 {
			t.Errorf("who waited: %d", code)
		}
	}
}
