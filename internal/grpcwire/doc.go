// Package grpcwire is how OTLP over gRPC carries bytes, without a protobuf
// object on either side.
//
// # Guarantees
//
//   - A Frame is the message as it came: nothing is copied that is in one piece,
//     nothing is parsed, no field is lost.
//   - A compressed message is decompressed where the caller says, with the
//     caller's limit, so that memory can be reserved before it is spent, and a
//     damaged one is the caller's error to answer.
//   - Buffers are counted by references. They return to their pool when the last
//     holder lets go, never earlier; MeteredPool says how many bytes are out.
//
// # Decompression
//
// grpc-go decompresses inside ServerStream.RecvMsg, and when that fails it has
// answered INTERNAL before a handler hears of it. This package therefore
// registers compressors for gzip, zstd and snappy that hand the compressed bytes
// through, marked, to the codec, which decompresses: at once into a protobuf
// message, in the handler's hands into a Frame. The registry of grpc-go is one
// per process, so a process that links this package must decode compressed
// messages with Codec. That is so for all that use the default codec, for Codec
// is registered as "proto" in front of the one that was there.
package grpcwire
