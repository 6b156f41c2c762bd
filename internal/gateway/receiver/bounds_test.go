package receiver

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

func small(s *setup) {
	s.limits.MaxRequestBytes, s.limits.MaxInFlightBytes = 64<<10, 1<<20
}

func TestRequestsAtTheLimit(t *testing.T) {
	d := open(t, small)
	c := d.dial(t)
	fits := bigLog(t, strings.Repeat("0", 64<<10-29))
	if len(fits) > 64<<10 || len(fits) < 64<<10-64 {
		t.Fatalf("the request has %d bytes", len(fits))
	}
	if err := exportBytes(testContext(t), c, otlp.Logs, fits); err != nil {
		t.Error(err)
	}
	if err := exportBytes(testContext(t), c, otlp.Logs, fits, grpc.UseCompressor("zstd")); err != nil {
		t.Error(err)
	}
	for _, encoding := range []string{"", "gzip", "zstd", "br", "deflate", "snappy"} {
		if a := d.send(t, otlp.Logs, typeProtobuf, encoding, pack(t, encoding, fits)); a.code != http.StatusOK {
			t.Errorf("%q: %d %q", encoding, a.code, a.body)
		}
	}
}

func TestTooLargeIsFinal(t *testing.T) {
	d := open(t, small)
	c := d.dial(t)
	b := bigLog(t, strings.Repeat("0", 64<<10+1))
	ctx := testContext(t)
	refusedRPC(t, "as sent", exportBytes(ctx, c, otlp.Logs, b), codes.ResourceExhausted, false)
	calls := 1.0
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		refusedRPC(t, encoding, exportBytes(ctx, c, otlp.Logs, b, grpc.UseCompressor(encoding)), codes.ResourceExhausted, false)
		refusedRPC(t, encoding, exportBytes(ctx, c, otlp.Logs, bigLog(t, strings.Repeat("0", 1<<20)), grpc.UseCompressor(encoding)), codes.ResourceExhausted, false)
		calls += 2
	}
	// A last member that is empty declares 0 bytes for all of them.
	lie := append(pack(t, "gzip", b), pack(t, "gzip", nil)...)
	refusedRPC(t, "members", exportBytes(ctx, d.dial(t, grpcwire.ShipCompressor("gzip")), otlp.Logs, lie), codes.ResourceExhausted, false)
	calls++

	posts := 0.0
	for contentType, body := range map[string][]byte{typeProtobuf: b, typeJSON: jsonOf(t, otlp.Logs, b)} {
		f := func(what, encoding string, packed []byte) {
			t.Helper()
			refusedHTTP(t, what, d.send(t, otlp.Logs, contentType, encoding, packed), contentType, http.StatusRequestEntityTooLarge, false)
			posts++
		}
		f("as sent", "", body)
		f("members", "gzip", append(pack(t, "gzip", body), pack(t, "gzip", nil)...))
		for _, encoding := range []string{"gzip", "zstd", "br", "deflate", "snappy", "x-snappy-framed"} {
			f(encoding, encoding, pack(t, encoding, body))
			f(encoding+" bomb", encoding, pack(t, encoding, make([]byte, 1<<20)))
		}
		for _, protocol := range []string{"h1", "h2c"} { // without a declared length
			a, err := post(ctx, t, client(t, protocol, nil), d.url("/v1/logs"), contentType, "", struct{ *bytes.Reader }{bytes.NewReader(body)})
			if err != nil {
				t.Fatal(err)
			}
			refusedHTTP(t, protocol, a, contentType, http.StatusRequestEntityTooLarge, false)
			posts++
		}
	}
	for transport, want := range map[string]float64{"grpc": calls, "http": posts} {
		if n := d.count(t, "requests_total", "transport", transport, "outcome", "too_large"); n != want {
			t.Errorf("%v requests over %s are counted as too_large, want %v", n, transport, want)
		}
	}
}

// allocated is what f allocates in bytes, over the whole process.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A bomb costs the gateway no more than its limits, whatever it would become.
func TestBombsAreBounded(t *testing.T) {
	d := open(t, small)
	c := d.dial(t, grpcwire.ShipCompressor("gzip"))
	bomb := pack(t, "gzip", make([]byte, 16<<20)) // 16 KB
	for name, send := range map[string]func(){
		"gzip over HTTP": func() {
			refusedHTTP(t, "bomb", d.send(t, otlp.Logs, typeProtobuf, "gzip", bomb), typeProtobuf, 413, false)
		},
		"gzip over gRPC": func() {
			refusedRPC(t, "bomb", exportBytes(testContext(t), c, otlp.Logs, bomb), codes.ResourceExhausted, false)
		},
	} {
		send() // pools and connections are made
		if n := allocated(send); n > 4<<20 {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
}

// A text of 60 KB of empty spans would be 6 MB of objects. It can never fit, so
// that the answer is final.
func TestJSONThatDecodesToMuchIsTooLarge(t *testing.T) {
	d := open(t, small)
	text := []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat("{},", 20000) + `{}]}]}]}`)
	send := func() {
		st := refusedHTTP(t, "JSON", d.send(t, otlp.Traces, typeJSON, "", text), typeJSON, http.StatusRequestEntityTooLarge, false)
		if !strings.Contains(st.GetMessage(), "max_in_flight_bytes") {
			t.Error(st)
		}
	}
	send()
	if n := allocated(send); n > 2<<20 {
		t.Errorf("%d bytes are allocated", n)
	}
}

func TestOverloadIsRetryableAndEnds(t *testing.T) {
	d := open(t, small)
	c := d.dial(t)
	release := d.pub.hold()
	defer release()
	b := bigLog(t, strings.Repeat("0", 60<<10))
	const holders = 16 // 960 KiB of 1 MiB
	answered := make(chan error, holders)
	for range holders {
		go func() { answered <- exportBytes(testContext(t), c, otlp.Logs, b) }()
	}
	eventually(t, "all are in flight", func() bool { return d.InFlightBytes() == int64(holders*len(b)) })
	large := bigLog(t, strings.Repeat("0", 64<<10-100)) // does not fit beside them
	refusedRPC(t, "gRPC", exportBytes(testContext(t), c, otlp.Logs, large), codes.Unavailable, true)
	refusedRPC(t, "gRPC zstd", exportBytes(testContext(t), c, otlp.Logs, large, grpc.UseCompressor("zstd")), codes.Unavailable, true)
	refusedHTTP(t, "HTTP", d.send(t, otlp.Logs, typeProtobuf, "", large), typeProtobuf, http.StatusServiceUnavailable, true)
	refusedHTTP(t, "HTTP gzip", d.send(t, otlp.Logs, typeProtobuf, "gzip", pack(t, "gzip", large)), typeProtobuf, http.StatusServiceUnavailable, true)
	refusedHTTP(t, "JSON", d.send(t, otlp.Logs, typeJSON, "", jsonOf(t, otlp.Logs, b)), typeJSON, http.StatusServiceUnavailable, true)
	release()
	for range holders {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	if n := d.count(t, "requests_total", "outcome", "overloaded"); n != 5 {
		t.Errorf("%v requests are counted as overloaded, want 5", n)
	}
	if err := exportBytes(testContext(t), c, otlp.Logs, b); err != nil {
		t.Error("after the overload:", err)
	}
}

// With no room at all a request is refused before its body is read.
func TestFullBudgetRefusesBeforeReading(t *testing.T) {
	d := open(t, small)
	held := claim{a: &d.admission}
	if r := held.grow(1 << 20); r != nil {
		t.Fatal(r)
	}
	refusedRPC(t, "gRPC", exportBytes(testContext(t), d.dial(t), otlp.Logs, bigLog(t, "x")), codes.Unavailable, true)
	refusedHTTP(t, "HTTP", d.send(t, otlp.Logs, typeProtobuf, "", bigLog(t, "x")), typeProtobuf, http.StatusServiceUnavailable, true)
	held.release()
	if err := exportBytes(testContext(t), d.dial(t), otlp.Logs, bigLog(t, "x")); err != nil {
		t.Error(err)
	}
}

// What is large, or larger than it seemed, is measured first and then taken.
func TestLargeCompressedRequestsAreTaken(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	b := bigLog(t, slices.Repeat([]string{strings.Repeat("0123456789abcdef", 1<<20/16)}, 10)...)
	for _, encoding := range []string{"gzip", "zstd", "br", "deflate", "snappy", "x-snappy-framed"} {
		if a := d.send(t, otlp.Logs, typeProtobuf, encoding, pack(t, encoding, b)); a.code != http.StatusOK {
			t.Errorf("%q: %d %q", encoding, a.code, a.body)
		}
	}
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		if err := exportBytes(testContext(t), c, otlp.Logs, b, grpc.UseCompressor(encoding)); err != nil {
			t.Errorf("gRPC, %q: %v", encoding, err)
		}
	}
	if _, items := d.stored(t, otlp.Logs); items != 90 {
		t.Errorf("%d records are stored, want 90", items)
	}
}

// A call that waits for its turn to be decompressed ends with its client.
func TestWaitForDecompressionEndsWithTheClient(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	for range cap(largeSlots) {
		largeSlots <- struct{}{}
	}
	defer func() {
		for range cap(largeSlots) {
			<-largeSlots
		}
	}()
	noise := make([]byte, 2*largePacked)
	rand.NewChaCha8([32]byte{}).Read(noise)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- exportBytes(ctx, c, otlp.Logs, noise, grpc.UseCompressor("gzip")) }()
	eventually(t, "the call waits", func() bool { return d.InFlightBytes() > 0 })
	cancel()
	if err := <-left; err == nil {
		t.Error("a client that left got an answer")
	}
	eventually(t, "the budget is given back", func() bool { return d.InFlightBytes() == 0 })
	if n := d.count(t, "requests_total", "outcome", "canceled"); n != 1 {
		t.Errorf("%v requests are counted as canceled, want 1", n)
	}
}

// Over HTTP a large request takes its turn when all of it is there, in every form.
func TestLargeRequestsWaitForTheirTurn(t *testing.T) {
	d := open(t)
	for range cap(largeSlots) {
		largeSlots <- struct{}{}
	}
	free := sync.OnceFunc(func() {
		for range cap(largeSlots) {
			<-largeSlots
		}
	})
	defer free()
	zeros := make([]byte, 8<<20) // tags of field 0: no protobuf, when it has its turn
	answers := make(chan httpAnswer, 3)
	for _, body := range []struct {
		media, encoding string
		b               []byte
	}{{typeProtobuf, "", zeros}, {typeProtobuf, "gzip", pack(t, "gzip", zeros)}, {typeJSON, "", bytes.Repeat([]byte(" "), 2*largeText)}} {
		go func() { answers <- d.send(t, otlp.Logs, body.media, body.encoding, body.b) }()
	}
	eventually(t, "their bytes are held", func() bool { return d.InFlightBytes() > 10<<20 })
	if a := d.send(t, otlp.Logs, typeProtobuf, "", request(otlp.Logs, 1)); a.code != http.StatusOK {
		t.Errorf("a small request beside them: %d", a.code)
	}
	if len(answers) > 0 {
		t.Fatalf("answered %d before its turn", (<-answers).code)
	}
	free()
	for range 3 {
		if a := <-answers; a.code != http.StatusBadRequest {
			t.Errorf("in its turn: %d, want 400", a.code)
		}
	}
}

// A bomb of the usual limits has next to no memory, in any encoding.
func TestBombsHaveNoMemory(t *testing.T) {
	d := open(t)
	d.suspects.after = func(_ time.Duration, end func()) { end() } // rests are for others
	d.suspects.clock.after = func(time.Duration) <-chan time.Time { return time.After(0) }
	for _, encoding := range []string{"gzip", "zstd", "deflate"} {
		bomb := pack(t, encoding, make([]byte, 80<<20))
		send := func() {
			refusedHTTP(t, encoding, d.send(t, otlp.Logs, typeProtobuf, encoding, bomb), typeProtobuf, http.StatusRequestEntityTooLarge, false)
		}
		send()
		if n := allocated(send); n > 12<<20 {
			t.Errorf("%s: %d bytes are allocated for a bomb of %d bytes", encoding, n, len(bomb))
		}
	}
}

// A text that can never be decoded within the budget is refused by its length.
func TestJSONBeyondTheBudgetIsNotRead(t *testing.T) {
	d := open(t, func(s *setup) { s.limits.MaxRequestBytes, s.limits.MaxInFlightBytes = 512<<10, 1<<20 })
	f := func(n, code int) {
		t.Helper()
		text := `{"x":"` + strings.Repeat("y", n) + `"}`
		if a := d.send(t, otlp.Logs, typeJSON, "", []byte(text)); a.code != code || code == 413 && !strings.Contains(string(a.body), "max_in_flight_bytes") {
			t.Errorf("%d bytes: %d %q", len(text), a.code, a.body)
		}
	}
	f(200<<10, http.StatusOK)
	f(300<<10, http.StatusRequestEntityTooLarge)
	f(600<<10, http.StatusRequestEntityTooLarge)
}
