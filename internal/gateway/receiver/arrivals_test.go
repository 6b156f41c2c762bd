package receiver

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// TestArrivalsShareATenth: what is read at a time rests one after the other, and what
// was not read is not saved up.
func TestArrivalsShareATenth(t *testing.T) {
	var a arrivals
	now := time.Unix(1, 0)
	each := 9 * 8 * time.Nanosecond * arrivalPiece
	for i := range 3 {
		if got := a.rest(arrivalPiece, now); got != time.Duration(i+1)*each {
			t.Errorf("%d: %v", i, got)
		}
	}
	if got := a.rest(arrivalPiece, now.Add(time.Hour)); got != each {
		t.Errorf("an hour later: %v, want %v", got, each)
	}
}

// noise is what no codec makes smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// TestSuspectsAreReadSlowly: of a large request all but the first MiB is rested for,
// of suspects alone; a small one is not.
func TestSuspectsAreReadSlowly(t *testing.T) {
	for name, send := range bombing {
		for _, c := range []struct {
			size      int
			suspected bool
			want      bool
		}{{3 << 20, true, true}, {3 << 20, false, false}, {512 << 10, true, false}} {
			d := open(t, roomy)
			var read paceClock
			d.suspects.clock = read.clock()
			if c.suspected {
				d.suspects.add(loopback, time.Now())
			}
			if refused, _ := send(testContext(t), t, d, noise(c.size)); !refused {
				t.Errorf("%s: garbage was not refused", name)
			}
			d.suspects.arrivals.mu.Lock()
			rested := !d.suspects.arrivals.free.IsZero()
			d.suspects.arrivals.mu.Unlock()
			if rested != c.want {
				t.Errorf("%s, %d bytes, of a suspect %v: rested %v", name, c.size, c.suspected, rested)
			}
		}
	}
}

// TestSlowReadingEnds: with the stop of the gateway, and with the connection.
func TestSlowReadingEnds(t *testing.T) {
	for name, send := range bombing {
		d := open(t, roomy)
		resting := make(chan struct{}, 100)
		d.suspects.clock = stuck(resting)
		d.suspects.add(loopback, time.Now())
		answered := make(chan bool, 1)
		go func() {
			_, retryable := send(testContext(t), t, d, noise(3<<20))
			answered <- retryable
		}()
		<-resting
		d.Drain()
		if !<-answered {
			t.Errorf("%s: who is read slowly at the stop is not told to come again", name)
		}
	}
}

// TestManySmallCallsAreNoLargeOne: calls that overlap for ever are not
// taken for one large message.
func TestManySmallCallsAreNoLargeOne(t *testing.T) {
	c := &gatedConn{gate: &gate{turn: make(chan struct{}, 1)}}
	a := gatedAddr{conn: c}
	last := a.begin()
	for range 1000 {
		next := a.begin()
		c.mu.Lock()
		c.unfinished += 10<<10 + 400
		c.mu.Unlock()
		last(true, 10<<10)
		last = next
	}
	if c.unfinished > 1<<20 {
		t.Errorf("%d bytes are taken for unfinished", c.unfinished)
	}
}

// TestCoarseBombsHaveATurnOfTheirOwn: a suspect's brotli of a large window keeps nobody
// else waiting, is rested for longer, and few wait for it.
func TestCoarseBombsHaveATurnOfTheirOwn(t *testing.T) {
	d := open(t, roomy)
	var c paceClock
	d.suspects.clock = c.clock()
	d.suspects.after = func(_ time.Duration, end func()) { end() }
	d.suspects.add(loopback, time.Now())
	body := windowed(t, 24, make([]byte, 11<<20))
	if n := codec.Stretch(codec.Brotli, body); n <= coarseWindow {
		t.Fatalf("the window of the bomb is %d", n)
	}
	ask := func() int {
		a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, "br", bytes.NewReader(body))
		if err != nil {
			t.Error(err)
		}
		return a.code
	}
	d.suspects.turn <- struct{}{} // it is somebody else's
	if code := ask(); code != 413 {
		t.Errorf("%d", code)
	}
	if want := int64(coarseFactor * slice); c.most.Load() < want {
		t.Errorf("the longest rest was %d ns, want %d or more", c.most.Load(), want)
	}
	<-d.suspects.turn
	d.suspects.coarse <- struct{}{}
	answers := make(chan int, maxCoarse+1)
	for range maxCoarse + 1 {
		go func() { answers <- ask() }()
	}
	if code := <-answers; code != 503 {
		t.Errorf("one more than may wait: %d", code)
	}
	if refused, _ := bombing["gRPC"](testContext(t), t, d, make([]byte, 11<<20)); !refused {
		t.Error("gzip waits for brotli")
	}
	small := windowed(t, 18, request(otlp.Traces, 1))
	if a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, codec.Brotli, bytes.NewReader(small)); err != nil || a.code != 200 {
		t.Errorf("a small one of a small window: %d %v", a.code, err)
	}
	<-d.suspects.coarse
	for range maxCoarse {
		if code := <-answers; code != 413 {
			t.Errorf("who waited: %d", code)
		}
	}
	if len(d.suspects.coarse) != 0 || len(d.suspects.turn) != 0 {
		t.Error("a turn was not given back")
	}
}

// windowed is b as brotli with a window of 1 << bits bytes.
func windowed(t *testing.T, bits int, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 1, LGWin: bits})
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// tireless makes the turns of suspects rest for no time.
func tireless(d *door) {
	over := make(chan time.Time)
	close(over)
	d.suspects.clock.after = func(time.Duration) <-chan time.Time { return over }
	d.suspects.after = func(_ time.Duration, end func()) { end() }
}
