package receiver

import (
	"bytes"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// What decoding OTLP JSON takes beside the text, by measurement of pdata 1.70:
// strings and the protobuf encoding grow with the text, objects with the number
// of braces. A list of empty spans or exemplars takes up to a hundred times its
// text, so that a text alone says little of the memory it needs.
const (
	jsonTextFactor = 3
	jsonValueBytes = 160 // for each object, list, and further element
)

// jsonBytes estimates the memory for decoding a text. Braces within strings
// count too: it errs to the safe side.
func jsonBytes(text []byte) int {
	values := bytes.Count(text, []byte("{")) + bytes.Count(text, []byte("["))
	numbers := max(bytes.Count(text, []byte(","))-values, 0)
	return jsonTextFactor*len(text) + jsonValueBytes*values + jsonValueBytes/5*numbers
}

// jsonLimit is the longest text that can fit into the budget with what decoding
// it takes: a longer one is not read at all.
func (l Limits) jsonLimit() int { return int(l.MaxInFlightBytes / (1 + jsonTextFactor)) }

// jsonRefusal names the limit, where that is what a text was too large for.
func (l Limits) jsonRefusal(r *otlp.Refusal) *otlp.Refusal {
	if r.Reason != otlp.ReasonTooLarge {
		return r
	}
	return otlp.Refuse(otlp.ReasonTooLarge, r.Err, "JSON of more than %d bytes needs more memory to decode than gateway.limits.max_in_flight_bytes, which is %s: send smaller batches, or protobuf", l.jsonLimit(), l.MaxInFlightBytes)
}

// fromJSON is the protobuf form of a request in JSON. The memory is charged to
// c beside what c holds already; the result is a slice of its own.
func fromJSON(s otlp.Signal, text []byte, c *claim) ([]byte, *otlp.Refusal) {
	if refusal := c.grow(c.held + jsonBytes(text)); refusal != nil {
		return nil, refusal
	}
	b, err := otlp.AppendProtoFromJSON(nil, s, text)
	if err != nil {
		return nil, otlp.AsRefusal(err)
	}
	return b, nil
}
