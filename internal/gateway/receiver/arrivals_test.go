package receiver

import (
	"math/rand/v2"
	"testing"
	"time"
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
