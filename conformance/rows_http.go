package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	secHTTPRequest  = "OTLP/HTTP: Request"
	secHTTPResponse = "OTLP/HTTP: Response"
	secHTTPFailures = "OTLP/HTTP: Failures"
	secHTTPSizes    = "OTLP/HTTP: Size limits"
)

var httpRows = []Row{
	{ID: "H1", Level: "stated", Section: secHTTPRequest, needs: needHTTP, run: rowH1,
		Rule: "Requests are POST to /v1/traces, /v1/metrics and /v1/logs."},
	{ID: "H2", Level: "MUST", Section: secHTTPResponse, needs: needHTTP, run: rowH2,
		Rule: "An answer has the content type of its request, protobuf or JSON, a refusal too."},
	{ID: "H3", Level: "SHOULD", Section: secHTTPRequest, needs: needHTTP, run: rowH3,
		Rule: "One port takes protobuf and JSON, told apart by Content-Type."},
	{ID: "H4", Level: "MUST", Section: secHTTPSizes, needs: needHTTP, run: rowH4,
		Rule: "A server limits the size of bodies, also after decompression; the limit should be 64 MiB unless configured otherwise."},
	{ID: "H5", Level: "MUST", Section: secHTTPSizes, needs: needHTTP, run: rowH5,
		Rule: "A body over the limit is answered 413."},
	{ID: "H6", Level: "MUST", Section: secHTTPSizes, needs: needHTTP, run: rowH6,
		Rule: "A server limits the size of its answers, 4 MiB by recommendation, whatever it could say of a request."},
	{ID: "H7", Level: "MUST", Section: secHTTPResponse, needs: needHTTP, run: rowH7,
		Rule: "When everything was taken, the answer is 200 with an Export response whose partial_success is not set."},
	{ID: "H8", Level: "MUST", Section: secHTTPResponse, needs: needHTTP, run: rowH8,
		Rule: "When a part was taken, the answer is 200 with partial_success, the number of rejected items and a message that helps."},
	{ID: "H9", Level: "MUST", Section: secHTTPFailures, needs: needHTTP, run: rowH9,
		Rule: "The body of every 4xx and 5xx is a Status message, which should have a message for a developer."},
	{ID: "H10", Level: "MUST", Section: secHTTPFailures, needs: needHTTP, run: rowH10,
		Rule: "What cannot be decoded, now or ever, is answered 400, and BadRequest details should tell why."},
	{ID: "H11", Level: "SHOULD", Section: "OTLP/HTTP: Throttling", needs: needHTTP, run: rowH11,
		Rule: "An overloaded server answers 429 or 503; Retry-After may say when to come back, in seconds or as a date."},
	{ID: "H12", Level: "SHOULD", Section: secHTTPRequest, needs: needHTTP, run: rowH12,
		Rule: "A request without any item is answered with success."},
	{ID: "H13", Level: "MAY", Section: secHTTPResponse, needs: needHTTP, run: rowH13,
		Rule: "The answer may be gzip where the client accepts that, and is marked as such."},
	{ID: "H14", Level: "MAY", Section: "OTLP/HTTP: Connection", needs: needHTTP, run: rowH14,
		Rule: "HTTP/1.1 and HTTP/2 carry OTLP; a client whose HTTP/2 is not taken falls back."},
	{ID: "H15", Level: "stated", Section: "OTLP/HTTP: Default Port", needs: needHTTP, run: rowH15,
		Rule: "The default port of OTLP/HTTP is 4318."},
}

func rowH1(c *check) {
	c.each("POST to its path", func(ctx context.Context, s signal) Verdict {
		return c.takenHTTP(ctx, s, protobufType, "", s.request(newMark()))
	})
	sig := c.signals[0]
	c.try("a body in many parts, of no declared length", func(ctx context.Context) Verdict {
		b := sig.request(newMark())
		a, err := c.do(ctx, httpRequest{path: sig.path(), contentType: protobufType, body: trickle(b, trickleParts), size: -1})
		return wantOK(sig, a, err, protobufType, fmt.Sprintf("%d bytes in %d chunks", len(b), trickleParts))
	})
	c.try("a body in many parts, of declared length", func(ctx context.Context) Verdict {
		b := sig.request(newMark())
		a, err := c.do(ctx, httpRequest{path: sig.path(), contentType: protobufType, body: trickle(b, trickleParts), size: int64(len(b))})
		return wantOK(sig, a, err, protobufType, fmt.Sprintf("%d bytes in %d parts", len(b), trickleParts))
	})
	c.try("/v1development/profiles (alpha)", func(ctx context.Context) Verdict {
		a, err := c.do(ctx, httpRequest{path: "/v1development/profiles", contentType: protobufType, size: 0})
		if err != nil {
			return failed("an empty request of profiles", "an answer", err.Error())
		}
		if a.status != http.StatusOK {
			return notApplicable("profiles are alpha in 1.11 and not taken: %s", a)
		}
		return passed
	})
}

// garbage is what is no request in any content type.
const garbage = "\x0f\x01 {] garbage"

func rowH2(c *check) {
	for _, t := range []string{protobufType, jsonType} {
		for _, s := range c.signals {
			c.try(fmt.Sprintf("success, %s, %s", s.name, t), func(ctx context.Context) Verdict {
				return c.takenHTTP(ctx, s, t, "", map[string][]byte{protobufType: s.request(newMark()), jsonType: []byte(s.requestJSON(newMark()))}[t])
			})
			c.try(fmt.Sprintf("refusal, %s, %s", s.name, t), func(ctx context.Context) Verdict {
				a, err := c.post(ctx, s, t, "", []byte(garbage))
				return wantType(a, err, t)
			})
		}
	}
	c.try("a content type with parameters", func(ctx context.Context) Verdict {
		sig := c.signals[0]
		a, err := c.post(ctx, sig, jsonType+"; charset=utf-8", "", []byte(sig.requestJSON(newMark())))
		return wantOK(sig, a, err, jsonType, jsonType+"; charset=utf-8")
	})
}

func wantType(a *httpAnswer, err error, t string) Verdict {
	switch {
	case err != nil:
		return failed("garbage as "+t, "a refusal as "+t, err.Error())
	case a.status == http.StatusOK || a.mediaType() != t:
		return failed("garbage as "+t, "a refusal as "+t, a.String())
	}
	return passed
}

func rowH3(c *check) {
	c.each("protobuf, JSON and protobuf again on one connection", func(ctx context.Context, s signal) Verdict {
		for _, t := range []string{protobufType, jsonType, protobufType} {
			b := s.request(newMark())
			if t == jsonType {
				b = []byte(s.requestJSON(newMark()))
			}
			if v := c.takenHTTP(ctx, s, t, "", b); v.Outcome != Pass {
				return v
			}
		}
		return passed
	})
}

func rowH4(c *check) {
	c.overHTTP(func(a *httpAnswer, err error, sent string) Verdict {
		switch {
		case err != nil:
			return failed(sent, "a refusal", err.Error())
		case a.status < 400:
			return failed(sent, "a refusal", a.String())
		}
		return passed
	})
	sig := c.signals[0]
	c.try("a request of 64 MiB less 64 KiB is taken (SHOULD)", func(ctx context.Context) Verdict {
		const size = 64<<20 - 64<<10
		if c.MaxRequestBytes < size {
			return notApplicable("the endpoint was configured to take %d bytes", c.MaxRequestBytes)
		}
		b, err := compress("gzip", largeRequest(sig, newMark(), size, 1<<20))
		if err != nil {
			return failed("", "", err.Error())
		}
		a, err := c.postPatiently(ctx, sig, protobufType, "gzip", b)
		return wantOK(sig, a, err, protobufType, fmt.Sprintf("%d bytes, gzip of %d", len(b), size))
	})
}

// overHTTP sends what is over the limit in every way.
func (c *check) overHTTP(want func(a *httpAnswer, err error, sent string) Verdict) {
	over := c.MaxRequestBytes + 1<<20
	sig := c.signals[0]
	c.try("as sent, declared", func(ctx context.Context) Verdict { return c.overPlain(ctx, sig, protobufType, over, over, want) })
	c.try("as sent, chunked", func(ctx context.Context) Verdict { return c.overPlain(ctx, sig, protobufType, over, -1, want) })
	c.try("as sent, JSON", func(ctx context.Context) Verdict { return c.overPlain(ctx, sig, jsonType, over, -1, want) })
	for _, encoding := range httpEncodings {
		c.try("after decompression, "+encoding, func(ctx context.Context) Verdict {
			if !c.reads(ctx, sig, "HTTP", encoding) {
				return notApplicable("the endpoint does not take Content-Encoding %s", encoding)
			}
			b, err := compress(encoding, largeItem(sig, newMark(), over))
			if err != nil {
				return failed("", "", err.Error())
			}
			a, err := c.post(ctx, sig, protobufType, encoding, b)
			return want(a, err, fmt.Sprintf("%d bytes, %s of %d", len(b), encoding, over))
		})
	}
	c.try("usable after that", func(ctx context.Context) Verdict { return c.stillTaken(ctx, sig, "HTTP") })
}

// overPlain is up to three tries: a server may answer and close while the body
// is still being sent, and the answer gets lost when the network is so disposed.
func (s *suite) overPlain(ctx context.Context, sig signal, contentType string, size, declared int64, want func(*httpAnswer, error, string) Verdict) Verdict {
	var a *httpAnswer
	var err error
	for range 3 {
		body := largeItem(sig, newMark(), size)
		if contentType == jsonType {
			body = io.MultiReader(strings.NewReader(`{"conformance":"`), io.LimitReader(repeat{}, size), strings.NewReader(`"}`))
		}
		if a, err = s.do(ctx, httpRequest{path: sig.path(), contentType: contentType, body: body, size: declared}); err == nil {
			break
		}
	}
	return want(a, err, fmt.Sprintf("%d bytes", size))
}

func rowH5(c *check) {
	c.overHTTP(func(a *httpAnswer, err error, sent string) Verdict {
		const expected = "HTTP 413"
		switch {
		case err != nil:
			return failed(sent, expected, err.Error())
		case a.status != http.StatusRequestEntityTooLarge:
			return failed(sent, expected, a.String())
		}
		return passed
	})
}

func rowH6(c *check) {
	c.each("the answer to a fault within megabytes of text", func(ctx context.Context, s signal) Verdict {
		b := c.hugeComplaint(s)
		a, err := c.post(ctx, s, protobufType, "", b)
		sent, expected := fmt.Sprintf("%d bytes that end in a fault", len(b)), fmt.Sprintf("an answer of at most %d bytes", maxResponse)
		switch {
		case err != nil:
			return failed(sent, expected, err.Error())
		case max(a.size, len(a.body)) > maxResponse:
			return failed(sent, expected, fmt.Sprintf("%d bytes", max(a.size, len(a.body))))
		}
		return passed
	})
}

func rowH7(c *check) {
	for _, t := range []string{protobufType, jsonType} {
		c.each("one item, "+t, func(ctx context.Context, s signal) Verdict {
			b := s.request(newMark())
			if t == jsonType {
				b = []byte(s.requestJSON(newMark()))
			}
			a, err := c.postPatiently(ctx, s, t, "", b)
			if v := wantOK(s, a, err, t, "one sound item"); v.Outcome != Pass {
				return v
			}
			if p, _ := s.parseResponse(a.body, t == jsonType); p.set {
				return failed("one sound item", "partial_success not set", fmt.Sprintf("partial_success is set: %d rejected, message %q", p.rejected, p.message))
			}
			return passed
		})
	}
}

func rowH8(c *check) {
	c.each("one item of two cannot be taken", func(ctx context.Context, s signal) Verdict {
		if c.RejectedItemBytes == 0 {
			return notApplicable(noHalfBad)
		}
		b, err := c.halfBad(s)
		if err != nil {
			return failed("", "", err.Error())
		}
		a, err := c.postPatiently(ctx, s, protobufType, "gzip", packed("gzip", b))
		sent := fmt.Sprintf("two items, one of %d bytes", c.RejectedItemBytes)
		if v := wantOK(s, a, err, protobufType, sent); v.Outcome != Pass {
			return v
		}
		p, _ := s.parseResponse(a.body, false)
		return wantPartial(p, sent)
	})
	c.each("a warning", func(ctx context.Context, s signal) Verdict {
		a, err := c.postPatiently(ctx, s, protobufType, "", notUTF8(s))
		if err != nil {
			return failed("text that is not UTF-8", "an answer", err.Error())
		}
		if a.status != http.StatusOK {
			return notApplicable("the endpoint refuses text that is not UTF-8: %s", a)
		}
		p, err := s.parseResponse(a.body, false)
		if err == nil && !p.says() {
			return notApplicable("the endpoint does not warn of text that is not UTF-8, which it need not")
		}
		return wantWarning(p, err)
	})
}

// refusedRequests are refused by every server, each for another reason.
func (c *check) refusedRequests(t string) []struct {
	name string
	r    httpRequest
} {
	sig := c.signals[0]
	body := func(b []byte) io.Reader { return bytes.NewReader(b) }
	sound := sig.request(newMark())
	if t == jsonType {
		sound = []byte(sig.requestJSON(newMark()))
	}
	over := c.MaxRequestBytes + 1<<20
	return []struct {
		name string
		r    httpRequest
	}{
		{"400, garbage", httpRequest{path: sig.path(), contentType: t, body: body([]byte(garbage)), size: int64(len(garbage))}},
		{"400, no gzip under Content-Encoding: gzip", httpRequest{path: sig.path(), contentType: t, encoding: "gzip", body: body(sound), size: int64(len(sound))}},
		{"404, another path", httpRequest{path: "/v1/conformance", contentType: t, body: body(sound), size: int64(len(sound))}},
		{"405, GET", httpRequest{method: http.MethodGet, path: sig.path(), contentType: t}},
		{"405, PUT", httpRequest{method: http.MethodPut, path: sig.path(), contentType: t, body: body(sound), size: int64(len(sound))}},
		{"400 or 415, an unknown Content-Encoding", httpRequest{path: sig.path(), contentType: t, encoding: "conformance", body: body(sound), size: int64(len(sound))}},
		{"413, over the limit", httpRequest{path: sig.path(), contentType: t, body: io.LimitReader(repeat{}, over), size: over}},
	}
}

// wantStatus wants a refusal whose body is a Status in the content type; "" is
// any that can carry one.
func wantStatus(a *httpAnswer, err error, sent, t string) Verdict {
	expected := "a 4xx with a Status and a message as " + t
	if t == "" {
		expected = "a 4xx with a Status and a message, in protobuf or JSON"
	}
	switch {
	case err != nil:
		return failed(sent, expected, err.Error())
	case a.status < 400 || t != "" && a.mediaType() != t:
		return failed(sent, expected, a.String())
	}
	st, err := a.statusBody()
	switch {
	case err != nil:
		return failed(sent, expected, a.String()+": "+err.Error())
	case st.GetMessage() == "":
		return failed(sent, expected, a.String()+": a Status without a message")
	}
	return passed
}

func rowH9(c *check) {
	for _, t := range []string{protobufType, jsonType} {
		for _, x := range c.refusedRequests(t) {
			c.try(x.name+", "+t, func(ctx context.Context) Verdict {
				a, err := c.do(ctx, x.r)
				return wantStatus(a, err, x.name, t)
			})
		}
	}
	sig := c.signals[0]
	for _, t := range []string{"text/plain", ""} {
		c.try(fmt.Sprintf("415, Content-Type %q", t), func(ctx context.Context) Verdict {
			a, err := c.post(ctx, sig, t, "", sig.request(newMark()))
			return wantStatus(a, err, fmt.Sprintf("Content-Type %q", t), "")
		})
	}
	for _, t := range []string{protobufType, jsonType} {
		c.try("429 or 503, overload, "+t, func(ctx context.Context) Verdict {
			a, v := c.overloadHTTP(ctx, t)
			if a == nil {
				return v
			}
			return wantStatus(a, nil, "requests beyond what the endpoint can hold", t)
		})
	}
}

func rowH10(c *check) {
	expect := func(a *httpAnswer, err error, sent string) Verdict {
		const expected = "HTTP 400"
		switch {
		case err != nil:
			return failed(sent, expected, err.Error())
		case a.status != http.StatusBadRequest:
			return failed(sent, expected, a.String())
		}
		return passed
	}
	for _, s := range c.signals {
		for _, bad := range badRequests(s) {
			c.try(bad.name+", "+s.name, func(ctx context.Context) Verdict {
				a, err := c.post(ctx, s, protobufType, "", bad.b)
				return expect(a, err, bad.name)
			})
		}
	}
	c.each("JSON cut in the middle", func(ctx context.Context, s signal) Verdict {
		b := s.requestJSON(newMark())
		a, err := c.post(ctx, s, jsonType, "", []byte(b[:len(b)/2]))
		return expect(a, err, "JSON cut in the middle")
	})
	c.each("JSON that is no object", func(ctx context.Context, s signal) Verdict {
		a, err := c.post(ctx, s, jsonType, "", []byte(`["resourceSpans"]`))
		return expect(a, err, "a JSON list")
	})
	c.try("gzip cut in the middle", func(ctx context.Context) Verdict {
		b := packed("gzip", c.signals[0].request(newMark()))
		a, err := c.post(ctx, c.signals[0], protobufType, "gzip", b[:len(b)/2])
		return expect(a, err, "gzip cut in the middle")
	})
	for _, t := range []string{protobufType, jsonType} {
		c.try("BadRequest details (SHOULD), "+t, func(ctx context.Context) Verdict {
			a, err := c.post(ctx, c.signals[0], t, "", []byte(garbage))
			if v := expect(a, err, "garbage"); v.Outcome != Pass {
				return v
			}
			if !a.badRequest() {
				return failed("garbage", "a Status with BadRequest in its details", a.String())
			}
			return passed
		})
	}
	c.try("usable after that", func(ctx context.Context) Verdict { return c.stillTaken(ctx, c.signals[0], "HTTP") })
}

func rowH11(c *check) {
	c.try("overload", func(ctx context.Context) Verdict {
		a, v := c.overloadHTTP(ctx, protobufType)
		if a == nil {
			return v
		}
		const sent, expected = "requests beyond what the endpoint can hold", "429 or 503, with a Retry-After of 1 to 60 s if it has one"
		if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable {
			return failed(sent, expected, a.String())
		}
		after := a.header.Get("Retry-After")
		if after == "" {
			return passed
		}
		n, err := strconv.Atoi(after)
		if date, dateErr := http.ParseTime(after); err != nil && dateErr == nil {
			n, err = int(time.Until(date).Seconds())+1, nil
		}
		if err != nil || n < 1 || n > 60 {
			return failed(sent, expected, "Retry-After: "+after)
		}
		return passed
	})
}

func rowH12(c *check) {
	c.each("empty protobuf", func(ctx context.Context, s signal) Verdict { return c.takenHTTP(ctx, s, protobufType, "", nil) })
	c.each("empty JSON object", func(ctx context.Context, s signal) Verdict {
		return c.takenHTTP(ctx, s, jsonType, "", []byte("{}"))
	})
}

func rowH13(c *check) {
	sig := c.signals[0]
	for _, x := range []struct {
		name string
		b    string
		want int
	}{{"success", sig.requestJSON(newMark()), 200}, {"refusal", garbage, 400}} {
		c.try("Accept-Encoding: gzip, "+x.name, func(ctx context.Context) Verdict {
			a, err := c.do(ctx, httpRequest{path: sig.path(), contentType: jsonType, accept: "gzip", body: strings.NewReader(x.b), size: int64(len(x.b))})
			switch {
			case err != nil:
				return failed(x.name, "an answer, gzip or not, and marked as what it is", err.Error())
			case a.status != x.want || a.mediaType() != jsonType:
				return failed(x.name, fmt.Sprintf("HTTP %d", x.want), a.String())
			case !a.packed:
				return notApplicable("the endpoint does not compress an answer of %d bytes, which it need not", a.size)
			}
			return passed
		})
	}
	c.try("not gzip for who does not ask for it", func(ctx context.Context) Verdict {
		a, err := c.post(ctx, sig, protobufType, "", sig.request(newMark()))
		switch {
		case err != nil:
			return failed("no Accept-Encoding", "an answer", err.Error())
		case a.packed:
			return failed("no Accept-Encoding", "an answer as it is", "Content-Encoding "+a.header.Get("Content-Encoding"))
		}
		return passed
	})
}

func rowH14(c *check) {
	sig := c.signals[0]
	over := func(name, proto string, via http.RoundTripper) {
		c.try(name, func(ctx context.Context) Verdict {
			b := sig.request(newMark())
			a, err := c.do(ctx, httpRequest{path: sig.path(), contentType: protobufType, body: bytes.NewReader(b), size: int64(len(b)), via: via})
			if err != nil && proto == "HTTP/2.0" {
				return notApplicable("the endpoint does not take %s, which it need not: %v", name, err)
			}
			if v := wantOK(sig, a, err, protobufType, "one item over "+name); v.Outcome != Pass {
				return v
			}
			if a.proto != proto {
				return failed("one item over "+name, proto, a.proto)
			}
			return passed
		})
	}
	over("HTTP/1.1", "HTTP/1.1", c.h1)
	u, err := url.Parse(c.HTTP)
	if err == nil && u.Scheme == "https" {
		t := &tls.Config{MinVersion: tls.VersionTLS12}
		if c.TLS != nil {
			t = c.TLS.Clone()
		}
		if len(t.NextProtos) > 0 && !slices.Contains(t.NextProtos, "h2") {
			t.NextProtos = nil
		}
		h2 := newHTTP(t, true)
		defer h2.CloseIdleConnections()
		over("HTTP/2 over TLS", "HTTP/2.0", h2)
		return
	}
	h2c := newH2(nil)
	defer h2c.CloseIdleConnections()
	over("HTTP/2 with prior knowledge", "HTTP/2.0", h2c)
}

func rowH15(c *check) {
	c.try("port", func(context.Context) Verdict {
		if u, err := url.Parse(c.HTTP); err != nil || u.Port() != "4318" {
			return notApplicable("the endpoint was given at %s", c.HTTP)
		}
		return passed
	})
}
