package otlp

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// wait is what is asked of the client: 0 for nothing.
func (r *Refusal) wait(row *Row) time.Duration {
	if !row.Retryable {
		return 0
	}
	if r.RetryAfter > 0 {
		return r.RetryAfter
	}
	return row.RetryAfter
}

// GRPCStatus is the answer over gRPC; grpc-go finds it by this method. It has a
// RetryInfo where the client is asked to wait and a BadRequest where the
// request is malformed.
func (r *Refusal) GRPCStatus() *status.Status {
	return status.FromProto(r.proto())
}

func (r *Refusal) proto() *spb.Status {
	row := r.Reason.row()
	s := &spb.Status{Code: int32(row.GRPC), Message: boundMessage(r.Message)}
	if d := r.wait(row); d > 0 {
		s.Details = appendDetail(s.Details, &errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	}
	if r.Reason == ReasonMalformed {
		s.Details = appendDetail(s.Details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{r.violation()}})
	}
	return s
}

// violation names the field at fault, as far as it is known.
func (r *Refusal) violation() *errdetails.BadRequest_FieldViolation {
	var m *Malformed
	if !errors.As(r.Err, &m) {
		return &errdetails.BadRequest_FieldViolation{Description: boundMessage(r.Message)}
	}
	return &errdetails.BadRequest_FieldViolation{Field: boundMessage(m.Path), Description: boundMessage(m.Problem)}
}

func appendDetail(to []*anypb.Any, m proto.Message) []*anypb.Any {
	a, err := anypb.New(m)
	if err != nil { // only invalid UTF-8 could, and every text is bounded to valid
		panic(fmt.Sprintf("BUG: detail %T of a refusal cannot be encoded: %v", m, err))
	}
	return append(to, a)
}

// HTTPStatus is the status code and, where the client is asked to wait, the
// value of Retry-After in whole seconds, rounded up; else 0.
func (r *Refusal) HTTPStatus() (code, retryAfterSeconds int) {
	row := r.Reason.row()
	d := r.wait(row)
	return row.HTTP, int((d + time.Second - 1) / time.Second)
}

// AppendStatus appends the google.rpc.Status of r in protobuf: the body of every
// refusal over HTTP with Content-Type application/x-protobuf.
func AppendStatus(dst []byte, r *Refusal) []byte {
	out, err := proto.MarshalOptions{}.MarshalAppend(dst, r.proto())
	if err != nil {
		panic(fmt.Sprintf("BUG: status of refusal %s cannot be encoded: %v", r.Reason, err))
	}
	return out
}

type jsonStatus struct {
	Code    int32  `json:"code"`
	Message string `json:"message"`
	Details []any  `json:"details,omitempty"`
}

type jsonRetryInfo struct {
	Type  string `json:"@type"`
	Delay string `json:"retryDelay"`
}

type jsonBadRequest struct {
	Type       string          `json:"@type"`
	Violations []jsonViolation `json:"fieldViolations"`
}

type jsonViolation struct {
	Field       string `json:"field,omitempty"`
	Description string `json:"description,omitempty"`
}

const typePrefix = "type.googleapis.com/google.rpc."

// AppendStatusJSON appends the google.rpc.Status of r in JSON: the body of every
// refusal over HTTP with Content-Type application/json.
func AppendStatusJSON(dst []byte, r *Refusal) []byte {
	row := r.Reason.row()
	s := jsonStatus{Code: int32(row.GRPC), Message: boundMessage(r.Message)}
	if d := r.wait(row); d > 0 {
		s.Details = append(s.Details, jsonRetryInfo{typePrefix + "RetryInfo", jsonSeconds(d)})
	}
	if r.Reason == ReasonMalformed {
		v := r.violation()
		s.Details = append(s.Details, jsonBadRequest{typePrefix + "BadRequest", []jsonViolation{{v.Field, v.Description}}})
	}
	out, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("BUG: status of refusal %s cannot be encoded: %v", r.Reason, err))
	}
	return append(dst, out...)
}

// jsonSeconds is a google.protobuf.Duration in JSON: "1.500000000s" or "2s".
func jsonSeconds(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%d.%09ds", d/time.Second, d%time.Second)
}
