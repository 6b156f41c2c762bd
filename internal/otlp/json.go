package otlp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// maxJSONDepth bounds objects and lists within each other, for the decoder
// recurses. A value within a value takes three, so 300 values fit.
const maxJSONDepth = 1000

// exportRequest is what the request types of pdata have in common.
type exportRequest interface {
	UnmarshalJSON([]byte) error
	MarshalJSON() ([]byte, error)
	UnmarshalProto([]byte) error
	MarshalProto() ([]byte, error)
}

var newRequest = [NumSignals]func() exportRequest{
	Traces:  func() exportRequest { return ptraceotlp.NewExportRequest() },
	Metrics: func() exportRequest { return pmetricotlp.NewExportRequest() },
	Logs:    func() exportRequest { return plogotlp.NewExportRequest() },
}

// AppendProtoFromJSON appends the protobuf encoding of an Export*ServiceRequest
// in OTLP JSON, as the Collector's pdata decodes it: unknown members are
// ignored, 64-bit integers may be strings; names in place of enum numbers and
// keys in snake_case are refused, as the specification has it. It is not for
// the hot path. The result is still to go through Check, which counts it and
// repairs strings. The error is a *Malformed. Objects and lists may be nested
// 1000 deep.
func AppendProtoFromJSON(dst []byte, sig Signal, b []byte) ([]byte, error) {
	if err := soundJSON(b); err != nil {
		return dst, err
	}
	if err := strictJSON(sig, b); err != nil {
		return dst, err
	}
	out, err := convert("OTLP JSON", func(r exportRequest) ([]byte, error) {
		if err := r.UnmarshalJSON(b); err != nil {
			return nil, err
		}
		return r.MarshalProto()
	}, sig)
	return append(dst, out...), err
}

// AppendJSONFromProto appends the OTLP JSON of an Export*ServiceRequest in
// protobuf. pdata is stricter than Check: trace and span ids must have their
// length, or be empty; and unknown fields are lost. It is for people who look
// at data, and for destinations that take JSON alone. The error is a *Malformed.
func AppendJSONFromProto(dst []byte, sig Signal, b []byte) ([]byte, error) {
	if _, err := Check(sig, b, CheckOptions{RejectUTF8: true}); err != nil {
		return dst, err
	}
	out, err := convert("protobuf", func(r exportRequest) ([]byte, error) {
		if err := r.UnmarshalProto(b); err != nil {
			return nil, err
		}
		return r.MarshalJSON()
	}, sig)
	return append(dst, out...), err
}

// convert turns the errors of pdata, and its panics, into *Malformed.
func convert(what string, f func(exportRequest) ([]byte, error), sig Signal) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, &Malformed{Offset: -1, Problem: boundMessage(fmt.Sprintf("%s cannot be decoded: %v", what, p))}
		}
	}()
	out, err = f(newRequest[sig]())
	if err != nil {
		return nil, &Malformed{Offset: -1, Problem: boundMessage(what + " cannot be decoded: " + pdataText(err))}
	}
	return out, nil
}

// pdataText is the error without the byte offset of the iterator beneath pdata,
// which counts from the start of a window that nobody sees.
func pdataText(err error) string {
	text, rest, ok := strings.Cut(err.Error(), ", error found in #")
	if !ok {
		return text
	}
	if _, near, ok := strings.Cut(rest, "bigger context ..."); ok {
		text += ", near " + strings.TrimSuffix(near, "...")
	}
	return text
}

// soundJSON checks syntax and depth. pdata would overlook what follows the
// request, and be led as deep as the bytes go.
func soundJSON(b []byte) error {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			if depth++; depth > maxJSONDepth {
				return &Malformed{Offset: i, Problem: fmt.Sprintf("JSON is nested deeper than %d", maxJSONDepth)}
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	if json.Valid(b) {
		if trimmed := bytes.TrimLeft(b, " \t\r\n"); trimmed[0] != '{' {
			return &Malformed{Offset: len(b) - len(trimmed), Problem: "the request is not a JSON object"}
		}
		return nil
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(json.RawMessage)); errors.As(err, &syntax) {
		return &Malformed{Offset: int(syntax.Offset), Problem: "no JSON: " + syntax.Error()}
	}
	return &Malformed{Offset: -1, Problem: "no JSON"}
}
