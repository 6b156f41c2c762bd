package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
)

const (
	secFailures  = "OTLP/gRPC: Failures"
	secSuccess   = "OTLP/gRPC: Full Success, Partial Success"
	secSizes     = "OTLP/gRPC: Size limits"
	secThrottle  = "OTLP/gRPC: Throttling"
	secResponse  = "OTLP/gRPC: Response"
	secRequest   = "OTLP/gRPC: Request"
	maxResponse  = 4 << 20 // recommended for answers
	trickleParts = 64
)

var grpcRows = []Row{
	{ID: "G1", Level: "MUST", Section: secRequest, needs: needGRPC, run: rowG1,
		Rule: "Each signal has a unary Export that is answered with the signal's Export response, however the message is cut into data frames and however many calls go at once."},
	{ID: "G2", Level: "MUST", Section: secSizes, needs: needGRPC, run: rowG2,
		Rule: "A server limits the size of requests, also after decompression; the limit should be 64 MiB unless configured otherwise."},
	{ID: "G3", Level: "MUST", Section: secSizes, needs: needGRPC, run: rowG3,
		Rule: "A request over the limit is answered RESOURCE_EXHAUSTED without RetryInfo, so that nobody sends it again."},
	{ID: "G4", Level: "MUST", Section: secSizes, needs: needGRPC, run: rowG4,
		Rule: "A server limits the size of its answers, 4 MiB by recommendation, whatever it could say of a request."},
	{ID: "G5", Level: "SHOULD", Section: secRequest, needs: needGRPC, run: rowG5,
		Rule: "A request without any item is answered with success."},
	{ID: "G6", Level: "MUST", Section: secSuccess, needs: needGRPC, run: rowG6,
		Rule: "When everything was taken, partial_success is not set."},
	{ID: "G7", Level: "MUST", Section: secSuccess, needs: needGRPC, run: rowG7,
		Rule: "When a part was taken, the answer is OK with partial_success, the number of rejected items and a message that helps."},
	{ID: "G8", Level: "MUST", Section: secSuccess, needs: needGRPC, run: rowG8,
		Rule: "A server that warns of what it took says so by partial_success with 0 rejected and a message."},
	{ID: "G9", Level: "SHOULD", Section: secFailures, needs: needGRPC, run: rowG9,
		Rule: "A failure after which the client should send again is UNAVAILABLE; RetryInfo may say when."},
	{ID: "G10", Level: "SHOULD", Section: secThrottle, needs: needGRPC, run: rowG10,
		Rule: "An overloaded server answers UNAVAILABLE, and the wait in RetryInfo is long enough to recover and short enough for clients to keep their data."},
	{ID: "G11", Level: "SHOULD", Section: secFailures, needs: needGRPC, run: rowG11,
		Rule: "Data that cannot be decoded or is otherwise bad is answered INVALID_ARGUMENT; BadRequest may tell the fields."},
	{ID: "G12", Level: "stated", Section: "OTLP/gRPC: Default Port", needs: needGRPC, run: rowG12,
		Rule: "The default port of OTLP/gRPC is 4317."},
}

func rowG1(c *check) {
	c.each("Export", func(ctx context.Context, s signal) Verdict { return c.takenGRPC(ctx, s, "", s.request(newMark())) })
	sig := c.signals[0]
	c.try("one message in many data frames, byte by byte at first", func(ctx context.Context) Verdict {
		b := frame(false, sig.request(newMark()))
		a, err := c.callRaw(ctx, sig.method(), "", trickle(b, trickleParts))
		return wantTaken(sig, a, err, fmt.Sprintf("%d bytes in %d parts", len(b), trickleParts))
	})
	c.try("100 calls, 20 at a time on one connection", func(ctx context.Context) Verdict {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(20)
		for range 100 {
			g.Go(func() error {
				if v := c.takenGRPC(ctx, sig, "", sig.request(newMark())); v.Outcome != Pass {
					return errors.New(v.Seen)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return failed("100 calls", "OK for each", err.Error())
		}
		return passed
	})
}

// trickle gives b in at most n parts: one byte at a time, and then the rest.
// Each is a read of its own with a short pause, and so a data frame.
func trickle(b []byte, n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		for i := range b {
			end := i + 1
			if i == n-1 {
				end = len(b)
			}
			if _, err := w.Write(b[i:end]); err != nil || end == len(b) {
				w.CloseWithError(err) // nil is the end
				return
			}
			time.Sleep(time.Millisecond)
		}
		w.Close()
	}()
	return r
}

func rowG2(c *check) {
	sig := c.signals[0]
	over := c.MaxRequestBytes + 1<<20
	c.try("over the limit as sent", func(ctx context.Context) Verdict {
		a, err := c.callRaw(ctx, sig.method(), "", frameOf(largeItem(sig, newMark(), over), over))
		return wantRefusedGRPC(a, err, fmt.Sprintf("%d bytes", over))
	})
	for _, encoding := range grpcEncodings {
		c.try("over the limit after decompression, "+encoding, func(ctx context.Context) Verdict { return c.bombGRPC(ctx, sig, encoding, over, wantRefusedGRPC) })
	}
	c.try("usable after that", func(ctx context.Context) Verdict { return c.stillTaken(ctx, sig, "gRPC") })
	c.try("a request of 64 MiB less 64 KiB is taken (SHOULD)", func(ctx context.Context) Verdict {
		const size = 64<<20 - 64<<10
		if c.MaxRequestBytes < size {
			return notApplicable("the endpoint was configured to take %d bytes", c.MaxRequestBytes)
		}
		b, err := compress("gzip", largeRequest(sig, newMark(), size, 1<<20))
		if err != nil {
			return failed("", "", err.Error())
		}
		a, err := patiently(ctx, c.suite, func() (*grpcAnswer, error) {
			return c.callRaw(ctx, sig.method(), "gzip", bytes.NewReader(frame(true, b)))
		})
		return wantTaken(sig, a, err, fmt.Sprintf("%d bytes, gzip of %d", len(b), size))
	})
}

// bombGRPC sends few bytes that are many, where the endpoint takes the encoding.
func (s *suite) bombGRPC(ctx context.Context, sig signal, encoding string, size int64, want func(*grpcAnswer, error, string) Verdict) Verdict {
	if !s.reads(ctx, sig, "gRPC", encoding) {
		return notApplicable("the endpoint does not take grpc-encoding %s", encoding)
	}
	b, err := compress(encoding, largeItem(sig, newMark(), size))
	if err != nil {
		return failed("", "", err.Error())
	}
	a, err := s.callRaw(ctx, sig.method(), encoding, bytes.NewReader(frame(true, b)))
	return want(a, err, fmt.Sprintf("%d bytes, %s of %d", len(b), encoding, size))
}

func wantRefusedGRPC(a *grpcAnswer, err error, sent string) Verdict {
	switch {
	case err != nil:
		return failed(sent, "a refusal", err.Error())
	case a.code == codes.OK:
		return failed(sent, "a refusal", "OK")
	}
	return passed
}

func wantExhausted(a *grpcAnswer, err error, sent string) Verdict {
	const expected = "RESOURCE_EXHAUSTED without RetryInfo"
	switch {
	case err != nil:
		return failed(sent, expected, err.Error())
	case a.code != codes.ResourceExhausted:
		return failed(sent, expected, a.String())
	case a.retryInfo() != nil:
		return failed(sent, expected, a.String()+", with RetryInfo")
	}
	return passed
}

func rowG3(c *check) {
	over := c.MaxRequestBytes + 1<<20
	c.each("as sent", func(ctx context.Context, s signal) Verdict {
		a, err := c.callRaw(ctx, s.method(), "", frameOf(largeItem(s, newMark(), over), over))
		return wantExhausted(a, err, fmt.Sprintf("%d bytes", over))
	})
	for _, encoding := range grpcEncodings {
		c.try("after decompression, "+encoding, func(ctx context.Context) Verdict {
			return c.bombGRPC(ctx, c.signals[0], encoding, over, wantExhausted)
		})
	}
}

// hugeComplaint is a request whose fault sits in a text of several MiB, for
// those who repeat what they do not like.
func (c *check) hugeComplaint(sig signal) []byte {
	size := min(8<<20, int(c.MaxRequestBytes/2))
	b, err := io.ReadAll(largeItem(sig, newMark(), int64(size)))
	if err != nil {
		panic("BUG: a reader of memory failed: " + err.Error())
	}
	return append(b, 0x0b) // a group that does not end
}

func rowG4(c *check) {
	c.each("the answer to a fault within megabytes of text", func(ctx context.Context, s signal) Verdict {
		b := c.hugeComplaint(s)
		a, err := c.call(ctx, s, "", b)
		sent, expected := fmt.Sprintf("%d bytes that end in a fault", len(b)), fmt.Sprintf("an answer of at most %d bytes", maxResponse)
		switch {
		case err != nil:
			return failed(sent, expected, err.Error())
		case a.size+len(a.message) > maxResponse:
			return failed(sent, expected, fmt.Sprintf("%d bytes", a.size+len(a.message)))
		}
		return passed
	})
}

func rowG5(c *check) {
	c.each("empty request", func(ctx context.Context, s signal) Verdict { return c.takenGRPC(ctx, s, "", nil) })
}

func rowG6(c *check) {
	c.each("one item", func(ctx context.Context, s signal) Verdict {
		a, err := c.callPatiently(ctx, s, "", s.request(newMark()))
		sent := "one sound item"
		if v := wantTaken(s, a, err, sent); v.Outcome != Pass {
			return v
		}
		if p, _ := s.parseResponse(a.payload, false); p.set {
			return failed(sent, "OK, partial_success not set", fmt.Sprintf("partial_success is set: %d rejected, message %q", p.rejected, p.message))
		}
		return passed
	})
}

// halfBad is a request with an item that is taken and one that is not, and how
// many are not.
func (c *check) halfBad(sig signal) ([]byte, error) {
	b, err := io.ReadAll(largeItem(sig, newMark(), c.RejectedItemBytes))
	return append(b, sig.request(newMark())...), err
}

const noHalfBad = "no item is known that the endpoint rejects while it takes others: give -rejected-item-bytes"

// wantPartial judges the answer to a request of which one item is bad.
func wantPartial(p partial, sent string) Verdict {
	const expected = "partial_success with 1 rejected and a message"
	if p.rejected != 1 || strings.TrimSpace(p.message) == "" {
		return failed(sent, expected, fmt.Sprintf("partial_success set: %t, %d rejected, message %q", p.set, p.rejected, p.message))
	}
	return passed
}

func rowG7(c *check) {
	c.each("one item of two cannot be taken", func(ctx context.Context, s signal) Verdict {
		if c.RejectedItemBytes == 0 {
			return notApplicable(noHalfBad)
		}
		b, err := c.halfBad(s)
		if err != nil {
			return failed("", "", err.Error())
		}
		a, err := c.callPatiently(ctx, s, "gzip", b)
		sent := fmt.Sprintf("two items, one of %d bytes", c.RejectedItemBytes)
		if v := wantTaken(s, a, err, sent); v.Outcome != Pass {
			return v
		}
		p, _ := s.parseResponse(a.payload, false)
		return wantPartial(p, sent)
	})
}

// notUTF8 is a sound request but for a text that is not UTF-8.
func notUTF8(s signal) []byte {
	mark := newMark()
	return bytes.ReplaceAll(s.request(mark), []byte(mark), []byte(mark[:markLength-2]+"\xff\xfe"))
}

func rowG8(c *check) {
	c.each("text that is not UTF-8", func(ctx context.Context, s signal) Verdict {
		a, err := c.callPatiently(ctx, s, "", notUTF8(s))
		if err != nil {
			return failed("text that is not UTF-8", "an answer", err.Error())
		}
		if a.code != codes.OK {
			return notApplicable("the endpoint refuses such a request: %s", a)
		}
		p, err := s.parseResponse(a.payload, false)
		if err == nil && !p.says() {
			return notApplicable("the endpoint does not warn of it, which it need not")
		}
		return wantWarning(p, err)
	})
}

func wantWarning(p partial, err error) Verdict {
	if err != nil || p.rejected != 0 || p.message == "" {
		return failed("text that is not UTF-8", "0 rejected and a message", fmt.Sprintf("%d rejected, message %q, %v", p.rejected, p.message, err))
	}
	return passed
}

func rowG9(c *check) {
	c.try("a refusal to send again", func(ctx context.Context) Verdict {
		a, v := c.overloadGRPC(ctx)
		if a != nil && a.code != codes.Unavailable && a.code != codes.ResourceExhausted {
			return failed("calls beyond what the endpoint can hold", "UNAVAILABLE", a.String())
		}
		return v
	})
}

func rowG10(c *check) {
	c.try("overload", func(ctx context.Context) Verdict {
		a, v := c.overloadGRPC(ctx)
		if a == nil {
			return v
		}
		const sent, expected = "calls beyond what the endpoint can hold", "UNAVAILABLE, with a RetryInfo of 0 to 60 s if it has one"
		ri := a.retryInfo()
		if a.code != codes.Unavailable && (a.code != codes.ResourceExhausted || ri == nil) {
			return failed(sent, expected, a.String())
		}
		if ri != nil && (ri.GetRetryDelay().AsDuration() <= 0 || ri.GetRetryDelay().AsDuration() > time.Minute) {
			return failed(sent, expected, "RetryInfo of "+ri.GetRetryDelay().AsDuration().String())
		}
		return passed
	})
}

// badRequests are bytes that no decoder takes.
func badRequests(s signal) []struct {
	name string
	b    []byte
} {
	sound := s.request(newMark())
	return []struct {
		name string
		b    []byte
	}{
		{"cut in the middle", sound[:len(sound)/2]},
		{"cut by one byte", sound[:len(sound)-1]},
		{"a length of 4 GiB", []byte("\x0a\xff\xff\xff\xff\x0f")},
		{"a varint without an end", []byte("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"field number 0", []byte("\x00\x01")},
		{"wire type 7", []byte("\x0f\x01")},
		{"text in place of protobuf", []byte("this is not protobuf, said the client")},
	}
}

func rowG11(c *check) {
	for _, s := range c.signals {
		for _, bad := range badRequests(s) {
			c.try(bad.name+", "+s.name, func(ctx context.Context) Verdict {
				a, err := c.call(ctx, s, "", bad.b)
				const expected = "INVALID_ARGUMENT"
				switch {
				case err != nil:
					return failed(bad.name, expected, err.Error())
				case a.code != codes.InvalidArgument:
					return failed(bad.name, expected, a.String())
				}
				return passed
			})
		}
	}
	c.try("BadRequest details (MAY)", func(ctx context.Context) Verdict {
		a, err := c.call(ctx, c.signals[0], "", []byte("\x0f\x01"))
		if err != nil {
			return failed("wire type 7", "an answer", err.Error())
		}
		if d := findDetail[*errdetails.BadRequest](a.details); d == nil || len(d.GetFieldViolations()) == 0 {
			return notApplicable("the endpoint gives no BadRequest, which it need not")
		}
		return passed
	})
	c.try("usable after that", func(ctx context.Context) Verdict { return c.stillTaken(ctx, c.signals[0], "gRPC") })
}

func rowG12(c *check) {
	c.try("port", func(context.Context) Verdict {
		if !strings.HasSuffix(c.GRPC, ":4317") {
			return notApplicable("the endpoint was given at %s", c.GRPC)
		}
		return passed
	})
}
