package receiver

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func TestSuspects(t *testing.T) {
	s := newSuspects(1 << 20)
	now := time.Now()
	bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for s.place(bad) == s.place(good) {
		good = good.Next()
	}
	s.add(bad, now)
	if !s.has(bad, now) || s.has(good, now) {
		t.Error("want the one that was added, and no other")
	}
	if !s.has(bad, now.Add(suspicion-1)) || s.has(bad, now.Add(suspicion)) {
		t.Error("want it remembered for a minute")
	}
}

// TestBombsRest: after the first bomb of an address, each holds the turn of the
// suspects and rests after it; nobody else's turn is held, and what is good of the
// same address has its turn, too.
func TestBombsRest(t *testing.T) {
	d := open(t, func(s *setup) { s.limits.MaxRequestBytes, s.limits.MaxInFlightBytes = 8<<20, 64<<20 })
	turn, ends := d.suspects.turn, make(chan func(), 10)
	d.suspects.after = func(_ time.Duration, end func()) { ends <- end }
	var c paceClock
	d.suspects.clock = clock{now: c.clock().now, after: func(time.Duration) <-chan time.Time { // rests of no time
		done := make(chan time.Time)
		close(done)
		return done
	}}
	zeros := make([]byte, 9<<20)
	bomb, good := pack(t, "gzip", zeros), request(otlp.Traces, 18000)
	if len(good) <= largeBytes {
		t.Fatalf("%d bytes are no large request", len(good))
	}
	conn, web := d.dial(t), client(t, "h1", nil)
	overHTTP := func() bool {
		a, err := post(testContext(t), t, web, d.url("/v1/traces"), typeProtobuf, "gzip", bytes.NewReader(bomb))
		return err == nil && a.code == 413
	}
	overRPC := func() bool {
		err := exportBytes(testContext(t), conn, otlp.Traces, zeros, grpc.UseCompressor("gzip"))
		return status.Code(err) == codes.ResourceExhausted
	}
	if !overHTTP() || len(turn) != 0 || len(ends) != 0 {
		t.Fatal("the first one has the turn of everybody")
	}
	for name, bombs := range map[string]func() bool{"HTTP": overHTTP, "gRPC": overRPC} {
		if !bombs() {
			t.Errorf("%s: a bomb was not refused as one", name)
		}
		if len(turn) != 1 || len(largeSlots) != 0 {
			t.Errorf("%s: the turn of the suspects: %d, that of the others: %d; want it to rest, and theirs free", name, len(turn), len(largeSlots))
		}
		(<-ends)()
	}
	if a, err := post(testContext(t), t, web, d.url("/v1/traces"), typeProtobuf, "", bytes.NewReader(good)); err != nil || a.code != 200 {
		t.Errorf("%d %v", a.code, err)
	}
	if len(turn) != 0 || len(ends) != 0 {
		t.Error("a good request made the turn rest")
	}
}
