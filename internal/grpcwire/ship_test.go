package grpcwire

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// wire is one gRPC request as an HTTP/2 server saw it.
type wire struct {
	encoding string
	flag     byte
	body     []byte
}

// serveWire is an HTTP/2 server that knows nothing of gRPC but its outermost
// form, so that nothing of this package stands on both sides.
func serveWire(t testing.TB) (addr string, seen chan wire) {
	seen = make(chan wire, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || len(b) < 5 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-5 {
			t.Errorf("request of %d bytes is not one message: %v", len(b), err)
			b = make([]byte, 5)
		}
		seen <- wire{encoding: r.Header.Get("Grpc-Encoding"), flag: b[0], body: b[5:]}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write(make([]byte, 5)) // an empty message
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), seen
}

// unpack decompresses with libraries that others use.
func unpack(t testing.TB, encoding string, b []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch encoding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	case "snappy":
		r = snappy.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("%s does not unpack: %v", encoding, err)
	}
	return out
}

func TestShippedOnTheWire(t *testing.T) {
	addr, seen := serveWire(t)
	data := marshal(t, request(200<<10, "w"))
	f := func(ship string, body []byte, want wire, opts ...grpc.CallOption) {
		t.Helper()
		err := dial(t, addr, ShipCompressor(ship)).Invoke(testContext(t), Method(otlp.Traces), NewFrame(body), &Frame{}, append(opts, grpc.ForceCodecV2(Codec{}))...)
		if err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got.encoding != want.encoding || got.flag != want.flag || !bytes.Equal(got.body, want.body) {
			t.Errorf("ship %s: grpc-encoding %q, flag %d, %d bytes; want %q, %d, %d bytes", ship, got.encoding, got.flag, len(got.body), want.encoding, want.flag, len(want.body))
		}
	}
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		packed := compress(t, encoding, data)
		f(encoding, packed, wire{encoding, 1, packed})
		f(encoding, packed[:100], wire{encoding, 1, packed[:100]})
		f(encoding, nil, wire{encoding, 0, nil})
		f(encoding, data, wire{"identity", 0, data}, grpc.UseCompressor("identity"))
	}
}

func TestCompressedOnTheWire(t *testing.T) {
	addr, seen := serveWire(t)
	data := marshal(t, request(200<<10, "w"))
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		// Also over a connection that ships: the call decides.
		for _, opts := range [][]grpc.DialOption{nil, {ShipCompressor("gzip")}} {
			err := dial(t, addr, opts...).Invoke(testContext(t), Method(otlp.Traces), NewFrame(data), &Frame{}, grpc.ForceCodecV2(Codec{}), grpc.UseCompressor(encoding))
			if err != nil {
				t.Fatal(err)
			}
			got := <-seen
			if got.encoding != encoding || got.flag != 1 || len(got.body) > len(data)/2 || !bytes.Equal(unpack(t, encoding, got.body), data) {
				t.Errorf("%s: grpc-encoding %q, flag %d, %d bytes", encoding, got.encoding, got.flag, len(got.body))
			}
		}
	}
}

// What is shipped, a server of the official types receives as the request.
func TestShippedToOfficialTypes(t *testing.T) {
	want := request(300<<10, "o")
	addr := serve(t, func(s *grpc.Server) {
		coltrace.RegisterTraceServiceServer(s, official{export: func(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
			if spans(r) != 0 && !proto.Equal(r, want) {
				return nil, fmt.Errorf("got %d spans, or others than were sent", spans(r))
			}
			return &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: int64(spans(r))}}, nil
		}})
	})
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		c := dial(t, addr, ShipCompressor(encoding))
		for _, r := range []*coltrace.ExportTraceServiceRequest{want, {}} {
			var reply coltrace.ExportTraceServiceResponse
			body := compress(t, encoding, marshal(t, r))
			if err := c.Invoke(testContext(t), Method(otlp.Traces), NewFrame(body), &reply, grpc.ForceCodecV2(Codec{})); err != nil {
				t.Errorf("%s: %v", encoding, err)
			} else if got := int(reply.PartialSuccess.GetRejectedSpans()); got != spans(r) {
				t.Errorf("%s: the server saw %d spans, want %d", encoding, got, spans(r))
			}
		}
	}
}
