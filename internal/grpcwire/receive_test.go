package grpcwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/status"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// problems serves, and says what ReceiveProblem made of each request.
func problems(t testing.TB, frame Frame, answer func(error) error, opts ...grpc.ServerOption) (addr string, seen chan string) {
	seen = make(chan string, 1)
	return serveFrames(t, func(_ context.Context, _ otlp.Signal, recv func(*Frame) error) ([]byte, error) {
		f := frame
		err := recv(&f)
		if err == nil && f.Encoding != "" {
			err = f.Decompress(0)
		}
		malformed, tooLarge, unsupported := ReceiveProblem(err)
		if err == nil {
			seen <- fmt.Sprintf("%d bytes", f.Len())
		} else {
			seen <- strings.TrimSpace(fmt.Sprintln(map[bool]string{true: "malformed"}[malformed], map[bool]string{true: "too large"}[tooLarge], map[bool]string{true: "unsupported"}[unsupported]))
			if f.Len() > 0 && !f.KeepCompressed {
				t.Error("the frame holds data after an error")
			}
		}
		f.Free()
		return nil, answer(err)
	}, opts...), seen
}

func asItIs(err error) error { return err }

func TestProblemsReachTheHandler(t *testing.T) {
	const limit = 1 << 20
	good := marshal(t, request(100<<10, "g"))
	f := func(what, encoding string, body []byte, wantSeen string, wantCode codes.Code) {
		t.Helper()
		for _, frame := range []Frame{{Limit: limit}, {Limit: limit, KeepCompressed: true}} {
			addr, seen := problems(t, frame, asItIs, grpc.MaxRecvMsgSize(limit))
			var opts []grpc.DialOption
			if encoding != "" {
				opts = append(opts, ShipCompressor(encoding))
			}
			err := dial(t, addr, opts...).Invoke(testContext(t), Method(otlp.Traces), NewFrame(body), &Frame{}, grpc.ForceCodecV2(Codec{}))
			if got := <-seen; got != wantSeen || status.Code(err) != wantCode {
				t.Errorf("%s, kept compressed %v: handler saw %q, client %v; want %q, %v", what, frame.KeepCompressed, got, err, wantSeen, wantCode)
			}
		}
	}
	f("plain", "", good, fmt.Sprintf("%d bytes", len(good)), codes.OK)
	f("empty", "gzip", nil, "0 bytes", codes.OK)
	f("over the limit", "", make([]byte, limit+1), "too large", codes.ResourceExhausted)
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		packed := compress(t, encoding, good)
		f(encoding, encoding, packed, fmt.Sprintf("%d bytes", len(good)), codes.OK)
		f(encoding+" cut", encoding, packed[:len(packed)-5], "malformed", codes.InvalidArgument)
		f(encoding+" of garbage", encoding, []byte("garbage"), "malformed", codes.InvalidArgument)
		f(encoding+" with a tail", encoding, append(packed[:len(packed):len(packed)], "tail"...), "malformed", codes.InvalidArgument)
		f(encoding+" bomb", encoding, compress(t, encoding, make([]byte, 8*limit)), "too large", codes.ResourceExhausted)
	}
}

func TestHandlerMapsADecompressionError(t *testing.T) {
	addr, seen := problems(t, Frame{}, func(err error) error {
		return status.Error(codes.DataLoss, "mapped: "+err.Error())
	})
	err := dial(t, addr, ShipCompressor("gzip")).Invoke(testContext(t), Method(otlp.Traces), NewFrame([]byte("garbage")), &Frame{}, grpc.ForceCodecV2(Codec{}))
	<-seen
	want := `mapped: message in grpc-encoding "gzip": compressed data is corrupt: 7 bytes of gzip: unexpected EOF`
	if st := status.Convert(err); st.Code() != codes.DataLoss || st.Message() != want {
		t.Errorf("client got %v, want %q", err, want)
	}
}

func TestReceiveProblem(t *testing.T) {
	f := func(err error, want ...bool) {
		t.Helper()
		m, l, u := ReceiveProblem(err)
		if m != want[0] || l != want[1] || u != want[2] {
			t.Errorf("ReceiveProblem(%v) = %v %v %v, want %v", err, m, l, u, want)
		}
	}
	f(nil, false, false, false)
	f(status.Error(codes.Internal, "cardinality violation"), true, false, false)
	f(status.Error(codes.ResourceExhausted, ""), false, true, false)
	f(status.Error(codes.Unimplemented, ""), false, false, true)
	f(status.Error(codes.Canceled, ""), false, false, false)
	f(status.Error(codes.DeadlineExceeded, ""), false, false, false)
	f(status.Error(codes.Unavailable, ""), false, false, false)
	f(fmt.Errorf("receiving: %w", &receiveError{codec.ErrCorrupt}), true, false, false)
	f(&receiveError{codec.ErrTooLarge}, false, true, false)
	if !errors.Is(&receiveError{codec.ErrTooLarge}, codec.ErrTooLarge) {
		t.Error("does not unwrap")
	}
}

// A frame kept compressed says what it will need, before it takes it.
func TestDecompressInTheHandlersHands(t *testing.T) {
	want := marshal(t, request(300<<10, "k"))
	pool := NewMeteredPool(0)
	for _, encoding := range []string{"", "gzip", "zstd", "snappy"} {
		packed := compress(t, encoding, want)
		addr := serveFrames(t, func(_ context.Context, _ otlp.Signal, recv func(*Frame) error) ([]byte, error) {
			f := Frame{KeepCompressed: true, Pool: pool, Limit: len(want)}
			if err := recv(&f); err != nil {
				return nil, err
			}
			defer f.Free()
			declared := len(want)
			if encoding == "zstd" {
				declared = -1 // a streaming encoder does not know
			}
			if f.Encoding != encoding || f.Len() != len(packed) || f.DeclaredLen() != declared {
				t.Errorf("%s: encoding %q, %d bytes, declares %d; want %d and %d", encoding, f.Encoding, f.Len(), f.DeclaredLen(), len(packed), declared)
			}
			if encoding != "" {
				err := f.Decompress(len(want) - 1)
				if _, tooLarge, _ := ReceiveProblem(err); !tooLarge || f.Len() != len(packed) || f.Encoding != encoding {
					t.Errorf("%s: %v and %d bytes left, want too large and the data untouched", encoding, err, f.Len())
				}
			}
			if err := f.Decompress(0); err != nil || f.Encoding != "" {
				t.Errorf("%s: %v", encoding, err)
			}
			if err := f.Decompress(1); err != nil {
				t.Errorf("a second time: %v, want nothing done", err)
			}
			b, release := f.Bytes(nil)
			f.Free()
			if !bytes.Equal(b, want) {
				t.Errorf("%s: data differs", encoding)
			}
			release()
			f.Free()
			return nil, nil
		}, experimental.BufferPool(pool))
		var opts []grpc.DialOption
		if encoding != "" {
			opts = append(opts, ShipCompressor(encoding))
		}
		if err := dial(t, addr, opts...).Invoke(testContext(t), Method(otlp.Logs), NewFrame(packed), &Frame{}, grpc.ForceCodecV2(Codec{})); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all buffers are back", func() bool { return pool.InUse() == 0 })
}

// A claim of much larger data than arrives takes memory only as it arrives, and
// one of less data is no obstacle.
func TestDecompressWithAFalseClaim(t *testing.T) {
	pool := NewMeteredPool(0)
	data := bytes.Repeat([]byte("abcdefgh"), 200<<10) // far more than 32 times its compressed size
	packed := compress(t, "gzip", data)
	f := Frame{Data: NewFrame(packed).Data, Encoding: "gzip", Pool: pool}
	if err := f.Decompress(0); err != nil {
		t.Fatal(err)
	}
	if b, release := f.Bytes(nil); !bytes.Equal(b, data) {
		t.Error("data differs")
	} else {
		release()
	}
	f.Free()
	if n := pool.InUse(); n != 0 {
		t.Errorf("%d bytes out after Free", n)
	}
}

// Official clients and this server's compressed replies, and the reverse.
func TestFramesAndMessagesUnderstandEachOther(t *testing.T) {
	reply := &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{ErrorMessage: strings.Repeat("late ", 3000)}}
	for _, encoding := range []string{"identity", "gzip", "zstd", "snappy"} {
		theirs := serve(t, func(s *grpc.Server) {
			coltrace.RegisterTraceServiceServer(s, official{export: func(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
				if got := len(marshal(t, r)); got != len(marshal(t, request(500<<10, encoding))) {
					t.Errorf("%s: the official server got %d bytes", encoding, got)
				}
				return reply, nil
			}})
		})
		var back Frame
		err := dial(t, theirs).Invoke(testContext(t), Method(otlp.Traces), NewFrame(marshal(t, request(500<<10, encoding))), &back,
			grpc.ForceCodecV2(Codec{}), grpc.UseCompressor(encoding))
		if err != nil || back.Encoding != "" || !bytes.Equal(back.Data.Materialize(), marshal(t, reply)) {
			t.Errorf("%s: %v, %d bytes of reply", encoding, err, back.Len())
		}
		back.Free()
		small := Frame{Limit: 1 << 10}
		err = dial(t, theirs).Invoke(testContext(t), Method(otlp.Traces), NewFrame(marshal(t, request(500<<10, encoding))), &small,
			grpc.ForceCodecV2(Codec{}), grpc.UseCompressor(encoding))
		if encoding != "identity" && (err == nil || small.Len() != 0) {
			t.Errorf("%s: a reply over the frame's limit: %v", encoding, err)
		}
		small.Free()
	}
}

func TestCodecPassesErrorsOn(t *testing.T) {
	if _, err := (Codec{}).Marshal("a string"); err == nil {
		t.Error("marshalled a string")
	}
	if err := (Codec{}).Unmarshal(NewFrame([]byte{1}).Data, new(string)); err == nil {
		t.Error("unmarshalled into a string")
	}
	r, err := (&compressor{name: "gzip", index: 0}).Decompress(strings.NewReader("garbage"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Codec{}).Unmarshal(NewFrame(b).Data, &coltrace.ExportTraceServiceRequest{}); !errors.Is(err, codec.ErrCorrupt) {
		t.Errorf("garbage in gzip: %v", err)
	}
	Register() // again: nothing happens
}
