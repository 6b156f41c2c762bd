package grpcwire

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/pkg/codec"
)

// receiveError is a message that could not be decompressed. As a status it is
// what OTLP asks for: RESOURCE_EXHAUSTED without RetryInfo over the limit, else
// INVALID_ARGUMENT.
type receiveError struct{ err error }

func (e *receiveError) Error() string { return e.err.Error() }
func (e *receiveError) Unwrap() error { return e.err }

func (e *receiveError) GRPCStatus() *status.Status {
	if errors.Is(e.err, codec.ErrTooLarge) {
		return status.New(codes.ResourceExhausted, e.err.Error())
	}
	return status.New(codes.InvalidArgument, e.err.Error())
}

// ReceiveProblem says what is wrong with the request whose recv, or Decompress,
// returned err. All are false when the request is not to blame: the client went
// away, or its deadline passed.
//
// Errors of decompression are answered by the handler. The others gRPC has
// already answered itself: INTERNAL for a broken message frame, a missing or a
// second message, RESOURCE_EXHAUSTED over MaxRecvMsgSize. A grpc-encoding that
// is not supported never reaches a handler, gRPC answers it with UNIMPLEMENTED;
// unsupportedEncoding is for errors seen elsewhere, as by a stats.Handler.
func ReceiveProblem(err error) (malformed, tooLarge, unsupportedEncoding bool) {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Internal:
		return true, false, false
	case codes.ResourceExhausted:
		return false, true, false
	case codes.Unimplemented:
		return false, false, true
	}
	return false, false, false
}
