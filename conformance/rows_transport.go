package conformance

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
)

var transportRows = []Row{
	{ID: "T1", Level: "MUST", Section: "OTLP/gRPC; OTLP/HTTP", run: rowT1,
		Rule: "Over every transport that it offers, a server takes requests without compression and with gzip."},
}

func rowT1(c *check) {
	for _, encoding := range []string{"", "gzip"} {
		name := encoding
		if name == "" {
			name = "no compression"
		}
		if c.GRPC != "" {
			c.each("gRPC, "+name, func(ctx context.Context, s signal) Verdict {
				return c.takenGRPC(ctx, s, encoding, s.request(newMark()))
			})
		}
		if c.HTTP != "" {
			c.each("HTTP, "+name, func(ctx context.Context, s signal) Verdict {
				return c.takenHTTP(ctx, s, protobufType, encoding, s.request(newMark()))
			})
			c.each("HTTP with JSON, "+name, func(ctx context.Context, s signal) Verdict {
				return c.takenHTTP(ctx, s, jsonType, encoding, []byte(s.requestJSON(newMark())))
			})
		}
	}
}

// takenGRPC wants full success over gRPC.
func (s *suite) takenGRPC(ctx context.Context, sig signal, encoding string, message []byte) Verdict {
	a, err := s.callPatiently(ctx, sig, encoding, message)
	return wantTaken(sig, a, err, fmt.Sprintf("%s of %d bytes", sig.name, len(message)))
}

func wantTaken(sig signal, a *grpcAnswer, err error, sent string) Verdict {
	const expected = "OK with an empty Export response"
	switch {
	case err != nil:
		return failed(sent, expected, err.Error())
	case a.code != codes.OK:
		return failed(sent, expected, a.String())
	case a.payload == nil:
		return failed(sent, expected, "OK without a message")
	}
	if _, err := sig.parseResponse(a.payload, false); err != nil {
		return failed(sent, expected, "OK with a message that is no Export response: "+err.Error())
	}
	return passed
}

// takenHTTP wants 200 and an Export response in the request's content type.
func (s *suite) takenHTTP(ctx context.Context, sig signal, contentType, encoding string, message []byte) Verdict {
	sent := fmt.Sprintf("%s of %d bytes as %s", sig.name, len(message), contentType)
	if encoding != "" {
		message = packed(encoding, message)
	}
	a, err := s.postPatiently(ctx, sig, contentType, encoding, message)
	return wantOK(sig, a, err, contentType, sent)
}

func wantOK(sig signal, a *httpAnswer, err error, contentType, sent string) Verdict {
	expected := "HTTP 200 with an Export response as " + contentType
	switch {
	case err != nil:
		return failed(sent, expected, err.Error())
	case a.status != 200 || a.mediaType() != contentType:
		return failed(sent, expected, a.String())
	}
	if _, err := sig.parseResponse(a.body, contentType == jsonType); err != nil {
		return failed(sent, expected, "a body that is no Export response: "+err.Error())
	}
	return passed
}

// stillTaken wants the same connection, or a new one, to take a sound request.
func (s *suite) stillTaken(ctx context.Context, sig signal, over string) Verdict {
	if over == "gRPC" {
		return s.takenGRPC(ctx, sig, "", sig.request(newMark()))
	}
	return s.takenHTTP(ctx, sig, protobufType, "", sig.request(newMark()))
}

// reads tells whether the endpoint takes a request in the encoding.
func (s *suite) reads(ctx context.Context, sig signal, over, encoding string) bool {
	b := packed(encoding, sig.request(newMark()))
	if over == "gRPC" {
		a, err := patiently(ctx, s, func() (*grpcAnswer, error) {
			return s.callRaw(ctx, sig.method(), encoding, bytes.NewReader(frame(true, b)))
		})
		return err == nil && a.code == codes.OK
	}
	a, err := s.postPatiently(ctx, sig, protobufType, encoding, b)
	return err == nil && a.status == 200
}
