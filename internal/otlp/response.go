package otlp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// rejectedKeys are the names of the count in the JSON of partial_success.
var rejectedKeys = [NumSignals]string{"rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"}

// AppendResponse appends the Export*ServiceResponse in protobuf: nothing for
// full success, else partial_success. rejected 0 with a message is a warning.
// The messages of the three signals have the same encoding. The message is cut
// to 1 KiB of valid UTF-8.
func AppendResponse(dst []byte, _ Signal, rejected int64, message string) []byte {
	if rejected == 0 && message == "" {
		return dst
	}
	message = boundMessage(message)
	size := 0
	if rejected != 0 {
		size += 1 + protowire.SizeVarint(uint64(rejected))
	}
	if message != "" {
		size += 1 + protowire.SizeBytes(len(message))
	}
	dst = protowire.AppendTag(dst, 1, protowire.BytesType) // partial_success
	dst = protowire.AppendVarint(dst, uint64(size))
	if rejected != 0 {
		dst = protowire.AppendTag(dst, 1, protowire.VarintType) // rejected_*
		dst = protowire.AppendVarint(dst, uint64(rejected))
	}
	if message != "" {
		dst = protowire.AppendTag(dst, 2, protowire.BytesType) // error_message
		dst = protowire.AppendString(dst, message)
	}
	return dst
}

// AppendResponseJSON is AppendResponse in JSON: "{}" for full success. The count
// is a decimal string, as the JSON mapping of int64 has it.
func AppendResponseJSON(dst []byte, sig Signal, rejected int64, message string) []byte {
	if rejected == 0 && message == "" {
		return append(dst, "{}"...)
	}
	dst = append(dst, `{"partialSuccess":{`...)
	if rejected != 0 {
		dst = append(dst, '"')
		dst = append(dst, rejectedKeys[sig]...)
		dst = append(dst, `":"`...)
		dst = strconv.AppendInt(dst, rejected, 10)
		dst = append(dst, '"')
	}
	if message != "" {
		if rejected != 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `"errorMessage":`...)
		text, err := json.Marshal(boundMessage(message))
		if err != nil {
			panic(fmt.Sprintf("BUG: a string cannot be encoded as JSON: %v", err))
		}
		dst = append(dst, text...)
	}
	return append(dst, "}}"...)
}

// responseSchema is Export*ServiceResponse. error_message is not held to UTF-8:
// a server's slip in a text is no reason to doubt its answer.
var responseSchema = func() *message {
	var response, partial message
	partial.define("PartialSuccess", scalar(1, "rejected"), scalar(2, "error_message"))
	response.define("Response", msg(1, "partial_success", &partial))
	return &response
}()

// ParseResponse reads the partial success out of an Export*ServiceResponse of
// any signal: 0 and "" for full success. A negative count, which the
// specification does not know, is read as 0; the message is cut to 1 KiB of
// valid UTF-8. The error is a *Malformed.
func ParseResponse(b []byte) (rejected int64, message string, err error) {
	w := walk{b: b}
	if !w.message(responseSchema, 0, len(b), 1) {
		if w.bad.Path = pathTo(responseSchema, b, w.bad.Offset); w.bad.Path == "" {
			w.bad.Path = "response"
		}
		return 0, "", w.bad
	}
	for f := range fields(b) {
		if !f.in(1 << 1) {
			continue
		}
		for g := range fields(f.value) { // repeated ones merge
			switch g.tag {
			case 1 << 3: // varint
				v, _ := varint(g.value, 0, len(g.value))
				rejected = int64(v)
			case 2<<3 | 2:
				message = string(g.value)
			}
		}
	}
	return max(rejected, 0), boundMessage(message), nil
}

type jsonPartial struct {
	Spans   json.RawMessage `json:"rejectedSpans"`
	Points  json.RawMessage `json:"rejectedDataPoints"`
	Records json.RawMessage `json:"rejectedLogRecords"`
	Message string          `json:"errorMessage"`
}

// ParseResponseJSON is ParseResponse for a JSON body. An empty body is full
// success, as the empty protobuf is.
func ParseResponseJSON(b []byte) (rejected int64, message string, err error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return 0, "", nil
	}
	var r struct {
		Partial jsonPartial `json:"partialSuccess"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return 0, "", &Malformed{Offset: -1, Path: "response", Problem: err.Error()}
	}
	for i, raw := range [NumSignals]json.RawMessage{r.Partial.Spans, r.Partial.Points, r.Partial.Records} {
		n, err := jsonInt(raw)
		if err != nil {
			return 0, "", &Malformed{Offset: -1, Path: "partialSuccess." + rejectedKeys[i], Problem: err.Error()}
		}
		rejected = max(rejected, n)
	}
	return rejected, boundMessage(r.Partial.Message), nil
}

// jsonInt reads an int64 as the JSON mapping of protobuf has it: a number or a
// string, also with an exponent or a zero fraction.
func jsonInt(raw json.RawMessage) (int64, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return 0, err
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return 0, fmt.Errorf("%.40q is no 64-bit integer", text)
	}
	return int64(f), nil
}
