package grpcwire

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Codec is the gRPC codec for frames: grpc.ForceServerCodecV2(Codec{}) on a
// server, grpc.ForceCodecV2(Codec{}) on a client. Its name is "proto", for the
// bytes of a frame are those of a protobuf message. Whatever is not a *Frame it
// passes to the codec that gRPC has for protobuf messages.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// protoCodec is the codec that was registered as "proto" before this one.
var protoCodec encoding.CodecV2

// Name is "proto", the content-subtype of OTLP.
func (Codec) Name() string { return "proto" }

// Marshal takes a *Frame, of which it shares the buffers, or a protobuf message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*Frame); ok {
		f.Data.Ref()
		return f.Data, nil
	}
	return protoCodec.Marshal(v)
}

// Unmarshal into a *Frame replaces what it held by references to the buffers of
// data; into a protobuf message it decodes, after decompressing up to
// DefaultLimit.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, toFrame := v.(*Frame)
	if !toFrame {
		f = new(Frame)
		defer f.Free()
	}
	f.Free()
	f.Data, f.Encoding = unwrap(data)
	if !(toFrame && (f.KeepCompressed || f.deferred)) {
		if err := f.Decompress(0); err != nil {
			f.Free()
			return err
		}
	}
	if toFrame {
		return nil
	}
	return protoCodec.Unmarshal(f.Data, v)
}
