package grpcwire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func TestBytes(t *testing.T) {
	pool := NewMeteredPool(0)
	one := bytes.Repeat([]byte("x"), 5000)
	f := NewFrame(one)
	b, release := f.Bytes(pool)
	if &b[0] != &one[0] || pool.InUse() != 0 {
		t.Error("a frame in one piece was copied")
	}
	release()

	many := Frame{Pool: pool}
	for range 3 {
		many.Data = append(many.Data, mem.Copy(one, pool))
	}
	b, release = many.Bytes(nil)
	many.Free()
	many.Free()
	if !bytes.Equal(b, bytes.Repeat(one, 3)) || many.Len() != 0 {
		t.Error("the pieces of a frame are not its bytes")
	}
	release()
	if n := pool.InUse(); n != 0 {
		t.Errorf("%d bytes are out after release", n)
	}

	var empty Frame
	b, release = empty.Bytes(nil)
	if len(b) != 0 || empty.DeclaredLen() != 0 || empty.Decompress(0) != nil {
		t.Error("an empty frame is not empty")
	}
	release()
}

func TestReleaseComesOnceAndLast(t *testing.T) {
	for _, size := range []int{10, 1 << 20} {
		var released atomic.Int32
		buf := bytes.Repeat([]byte("y"), size)
		got := make(chan bool, 1)
		addr := serveFrames(t, func(_ context.Context, _ otlp.Signal, recv func(*Frame) error) ([]byte, error) {
			var f Frame
			if err := recv(&f); err != nil {
				return nil, err
			}
			got <- bytes.Equal(f.Data.Materialize(), bytes.Repeat([]byte("y"), size))
			f.Free()
			return nil, nil
		})
		f := NewFrameRelease(buf, func() { clear(buf); released.Add(1) })
		if err := dial(t, addr).Invoke(testContext(t), Method(otlp.Metrics), f, &Frame{}, grpc.ForceCodecV2(Codec{})); err != nil {
			t.Fatal(err)
		}
		if !<-got {
			t.Errorf("%d bytes: the server got others than were sent", size)
		}
		f.Free()
		eventually(t, "released", func() bool { return released.Load() > 0 })
		f.Free()
		if n := released.Load(); n != 1 {
			t.Errorf("%d bytes: released %d times", size, n)
		}
	}
}

// A call that ends by its deadline while its message is still being written
// keeps the buffer until gRPC has let go of it.
func TestReleaseAfterACallThatEndedEarly(t *testing.T) {
	addr := serveFrames(t, func(ctx context.Context, _ otlp.Signal, _ func(*Frame) error) ([]byte, error) {
		<-ctx.Done() // never reads: the windows fill
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(testContext(t))
	released := make(chan struct{})
	f := NewFrameRelease(make([]byte, 8<<20), func() { close(released) })
	done := make(chan error, 1)
	c := dial(t, addr)
	go func() { done <- c.Invoke(ctx, Method(otlp.Logs), f, &Frame{}, grpc.ForceCodecV2(Codec{})) }()
	cancel()
	if err := <-done; err == nil {
		t.Error("the call succeeded")
	}
	f.Free()
	eventually(t, "released", func() bool {
		select {
		case <-released:
			return true
		default:
			return false
		}
	})
}

func TestWriterOfACompressor(t *testing.T) {
	c := encodingCompressor("gzip")
	var out bytes.Buffer
	w, err := c.Compress(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("hello ")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("world")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := unpack(t, "gzip", out.Bytes()); string(got) != "hello world" {
		t.Errorf("got %q", got)
	}
	// Once closed it may be another's: it refuses what comes late.
	if err := w.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("second Close: %v", err)
	}
	if _, err := w.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write after Close: %v", err)
	}
	broken, err := c.Compress(brokenWriter{})
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Close on a broken connection: %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
