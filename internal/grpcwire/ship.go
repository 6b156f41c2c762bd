package grpcwire

import (
	"io"

	"google.golang.org/grpc"
)

// ShipCompressor is for connections over which payloads go that are already
// compressed: gRPC announces grpc-encoding name, sets the compressed flag, and
// sends the bytes as they are. name is "gzip", "zstd" or "snappy" (framing
// format). The flag is set for every message but an empty one, which OTLP reads
// as an empty request.
//
// A call that must not ship says so: grpc.UseCompressor("identity") sends its
// message as it is, without the flag; grpc.UseCompressor("gzip") compresses.
// Unary and stream replies are not concerned.
func ShipCompressor(name string) grpc.DialOption {
	// grpc.WithCompressor is the only way to set the flag without compressing. It
	// is deprecated in favour of UseCompressor, and works in all of grpc 1.x.
	//
	//lint:ignore SA1019 see above
	return grpc.WithCompressor(shipper(name))
}

// shipper is a grpc.Compressor.
type shipper string

func (s shipper) Type() string { return string(s) }

func (shipper) Do(w io.Writer, p []byte) error {
	_, err := w.Write(p)
	return err
}
