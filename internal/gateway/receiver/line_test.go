package receiver

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// noise is gzip of n bytes that it cannot make less.
func noise(t *testing.T, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return pack(t, "gzip", b)
}

// resting is a door whose suspects, of which loopback is one, have to wait for as long
// as the test wants.
func resting(t *testing.T, change ...func(*setup)) *door {
	d := open(t, change...)
	d.suspects.add(loopback, time.Now())
	d.suspects.turn <- struct{}{}
	return d
}

// TestLineIsShort: those who wait for the turn of the suspects have half of what may be
// in flight.
func TestLineIsShort(t *testing.T) {
	d := resting(t, func(s *setup) { s.limits.MaxRequestBytes, s.limits.MaxInFlightBytes = 4<<20, 13<<20 })
	d.suspects.patience = time.Hour
	d.suspects.clock.after = func(time.Duration) <-chan time.Time { return time.After(0) }
	body := noise(t, 3<<20)
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
	if code := <-answers; code != http.StatusServiceUnavailable {
		t.Errorf("the third of 3 MiB, of 13 that may be in flight: %d", code)
	}
	<-d.suspects.turn
	for range 2 {
		if code := <-answers; code != http.StatusBadRequest {
			t.Errorf("who waited: %d", code)
		}
	}
	if n := d.suspects.waiting.Load(); n != 0 {
		t.Errorf("%d bytes of the line were not given back", n)
	}
}

// TestFewWait: a small body that is a bomb has a place of a megabyte.
func TestFewWait(t *testing.T) {
	v := visit{in: &Intake{suspects: newSuspects(2 << 20)}}
	for i, want := range []bool{true, true, false} {
		if _, ok := v.lineUp(); ok != want {
			t.Errorf("place %d of 2 MiB: %v", i+1, ok)
		}
	}
}

// sendsLarge are ways to send 3 MiB and be told to come again.
var sendsLarge = map[string]func(t *testing.T, d *door, b []byte) bool{
	"HTTP": func(t *testing.T, d *door, b []byte) bool {
		a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, "gzip", bytes.NewReader(b))
		return err == nil && a.code == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""
	},
	"gRPC": func(t *testing.T, d *door, b []byte) bool {
		err := exportBytes(testContext(t), d.dial(t), otlp.Traces, b, grpc.UseCompressor("gzip"))
		return status.Code(err) == codes.Unavailable
	},
}

// TestLate: who finds no room in the line gives back what it holds, and is answered
// after a while. Small requests are not concerned.
func TestLate(t *testing.T) {
	for name, send := range sendsLarge {
		d := resting(t)
		d.suspects.waiting.Store(d.suspects.room)
		tarries, goes := make(chan time.Duration, 1), make(chan time.Time)
		d.suspects.clock.after = func(wait time.Duration) <-chan time.Time { tarries <- wait; return goes }
		answered := make(chan bool, 1)
		go func() { answered <- send(t, d, noise(t, 3<<20)) }()
		select {
		case wait := <-tarries:
			if wait != lateAnswer {
				t.Errorf("%s: the answer comes after %v", name, wait)
			}
		case <-answered:
			t.Fatalf("%s: it was answered at once", name)
		}
		d.suspects.waiting.Store(0)
		d.givenBack(t) // while its answer is held back
		if a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, "", bytes.NewReader(request(otlp.Traces, 10))); err != nil || a.code != http.StatusOK {
			t.Errorf("%s: a small one: %d %v", name, a.code, err)
		}
		close(goes)
		if !<-answered {
			t.Errorf("%s: it was not told to come again", name)
		}
		<-d.suspects.turn
	}
}

// TestWaitedInVain: nobody waits for ever, nor longer for the answer.
func TestWaitedInVain(t *testing.T) {
	for name, send := range sendsLarge {
		d := resting(t)
		d.suspects.patience = time.Millisecond
		d.suspects.clock.after = func(time.Duration) <-chan time.Time { t.Errorf("%s: it tarries", name); return time.After(0) }
		if !send(t, d, noise(t, 3<<20)) {
			t.Errorf("%s: it was not told to come again", name)
		}
		<-d.suspects.turn
	}
}

// asked is a context that says when somebody begins to wait for its end.
type asked struct {
	context.Context
	once  *sync.Once
	waits chan struct{}
}

func (a asked) Done() <-chan struct{} {
	a.once.Do(func() { close(a.waits) })
	return a.Context.Done()
}

// TestBombsThatComeTogether: who waits for the turn of everybody while another of its
// source turns out to be a bomb gets that of the suspects.
func TestBombsThatComeTogether(t *testing.T) {
	d := open(t)
	for len(largeSlots) < cap(largeSlots) {
		largeSlots <- struct{}{}
	}
	v := visit{in: d.Intake, transport: transportHTTP}
	ctx := asked{context.WithValue(testContext(t), sourceKey{}, loopback), new(sync.Once), make(chan struct{})}
	got := make(chan *otlp.Refusal, 1)
	go func() { got <- v.large(ctx) }()
	<-ctx.waits
	d.suspects.add(loopback, time.Now())
	for range cap(largeSlots) {
		<-largeSlots
	}
	if r := <-got; r != nil || v.turn != d.suspects.turn {
		t.Errorf("refused %v, turn of the suspects: %v", r, v.turn == d.suspects.turn)
	}
	v.worked()
	if len(largeSlots) != 0 || len(d.suspects.turn) != 0 {
		t.Error("a turn was not given back")
	}
}

// TestLargeForNothing: a large request without an item was for nothing, too.
func TestLargeForNothing(t *testing.T) {
	d := open(t)
	empty := protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), make([]byte, largeBytes))
	if a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, "", bytes.NewReader(empty)); err != nil || a.code != http.StatusOK {
		t.Fatalf("%d %v", a.code, err)
	}
	if !d.suspects.has(loopback, time.Now()) {
		t.Error("it may come again at full speed")
	}
}
