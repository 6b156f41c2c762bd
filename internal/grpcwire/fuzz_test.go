package grpcwire

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/pkg/codec"
)

// FuzzFrame receives a message as gRPC hands it over: through the compressor of its
// encoding, in buffers of any size, into a frame that decompresses at once or
// later. It must come to what the codec says of the whole, within the limit, and
// leave no buffer behind.
func FuzzFrame(f *testing.F) {
	body := marshal(f, request(20, "seed"))
	for i, e := range encodings {
		f.Add(byte(i), compress(f, e.name, body), uint16(7), uint32(1<<20), true)
		f.Add(byte(i), compress(f, e.name, bytes.Repeat([]byte("bomb"), 1<<16)), uint16(1000), uint32(1000), false)
		f.Add(byte(i), compress(f, e.name, body)[:20], uint16(3), uint32(1<<20), true)
		f.Add(byte(i), []byte{}, uint16(1), uint32(1), true)
	}
	f.Add(byte(len(encodings)), body, uint16(100), uint32(1<<20), true) // not compressed
	f.Fuzz(func(t *testing.T, which byte, wire []byte, size uint16, limit uint32, later bool) {
		most := int(limit%(4<<20)) + 1
		name := ""
		var r io.Reader = bytes.NewReader(wire)
		if n := int(which) % (len(encodings) + 1); n < len(encodings) {
			name = encodings[n].name
			var err error
			if r, err = encodingCompressor(name).Decompress(r); err != nil {
				t.Fatal(err)
			}
		}
		marked, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		pool := NewMeteredPool(0)
		var data mem.BufferSlice
		step := int(size) + markLen // gRPC's own first buffer has the mark in one piece
		for rest := marked; len(rest) > 0; {
			n := min(step, len(rest))
			data = append(data, mem.Copy(rest[:n], pool))
			rest, step = rest[n:], int(size)+1
		}
		frame := &Frame{KeepCompressed: later, Limit: most, Pool: pool}
		err = Codec{}.Unmarshal(data, frame)
		data.Free()
		if later && err == nil {
			if frame.Encoding != name || frame.Len() != len(wire) {
				t.Fatalf("is %d bytes of %q, sent were %d of %q", frame.Len(), frame.Encoding, len(wire), name)
			}
			frame.DeclaredLen()
			frame.MaxLen()
			err = frame.Decompress(0)
		}
		want, wantErr := wire, error(nil)
		if name != "" {
			want, wantErr = codec.Decode(nil, name, wire, most)
		}
		switch {
		case (err == nil) != (wantErr == nil) || err != nil && errors.Is(err, codec.ErrTooLarge) != errors.Is(wantErr, codec.ErrTooLarge):
			t.Fatalf("%s in %d: %v, the codec says %v", name, len(data), err, wantErr)
		case err == nil:
			b, release := frame.Bytes(nil)
			if !bytes.Equal(b, want) {
				t.Errorf("%s: %d bytes, want %d", name, len(b), len(want))
			}
			release()
		}
		frame.Free()
		if n := pool.InUse(); n != 0 {
			t.Errorf("%d bytes are out when the frame is free", n)
		}
	})
}
