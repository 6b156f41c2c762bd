package sample

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// PointIDKey is the attribute that carries the identity of a metric point, as
// eight bytes.
const PointIDKey = "penstock.test.id"

// ItemIDs walks an encoded Export*ServiceRequest and calls fn with the identity
// of each span, log record or metric point that carries one. items is the
// number of all, with or without. A span id of a foreign tracer looks like an
// identity of some source; an error says that the bytes do not hold together.
func ItemIDs(sig otlp.Signal, b []byte, fn func(id uint64)) (items int, err error) {
	w := walker{fn: fn}
	item := w.span
	switch sig {
	case otlp.Logs:
		item = w.log
	case otlp.Metrics:
		item = w.metric
	}
	err = eachField(b, 1, func(block []byte) error {
		return eachField(block, 2, func(scope []byte) error {
			return eachField(scope, 2, item)
		})
	})
	return w.items, err
}

type walker struct {
	fn    func(uint64)
	items int
}

func (w *walker) span(b []byte) error {
	w.items++
	return w.idField(b, 2)
}

func (w *walker) log(b []byte) error {
	w.items++
	return w.idField(b, 10)
}

// idField reports the eight bytes of the field, and looks no further: an
// encoder writes it once.
func (w *walker) idField(b []byte, want protowire.Number) error {
	for len(b) > 0 {
		num, v, rest, err := field(b)
		if err != nil {
			return err
		}
		if num == want {
			w.report(v)
			return nil
		}
		b = rest
	}
	return nil
}

func (w *walker) report(id []byte) {
	if len(id) != 8 {
		return
	}
	if v := binary.BigEndian.Uint64(id); v != 0 {
		w.fn(unscramble(v))
	}
}

// metric walks the points of every kind of data; they differ in the number of
// the attributes field.
func (w *walker) metric(b []byte) error {
	for len(b) > 0 {
		num, data, rest, err := field(b)
		if err != nil {
			return err
		}
		b = rest
		var attributes protowire.Number
		switch num {
		case 5, 7, 11: // gauge, sum, summary
			attributes = 7
		case 9: // histogram
			attributes = 9
		case 10: // exponential histogram
			attributes = 1
		default:
			continue
		}
		err = eachField(data, 1, func(p []byte) error {
			w.items++
			return eachField(p, attributes, w.attribute)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) attribute(kv []byte) error {
	var key, value []byte
	for len(kv) > 0 {
		num, v, rest, err := field(kv)
		if err != nil {
			return err
		}
		switch num {
		case 1:
			key = v
		case 2:
			value = v
		}
		kv = rest
	}
	if string(key) != PointIDKey {
		return nil
	}
	return eachField(value, 7, func(id []byte) error { w.report(id); return nil })
}

// eachField calls fn with every value of a field of wire type 2.
func eachField(b []byte, want protowire.Number, fn func([]byte) error) error {
	for len(b) > 0 {
		num, v, rest, err := field(b)
		if err != nil {
			return err
		}
		if num == want {
			if err := fn(v); err != nil {
				return err
			}
		}
		b = rest
	}
	return nil
}

// field takes one field off b. v is nil unless it is of wire type 2.
func field(b []byte) (num protowire.Number, v, rest []byte, err error) {
	if len(b) >= 2 && b[0]&0x87 == 2 && b[0] > 7 && b[1] < 0x80 && int(b[1]) <= len(b)-2 {
		end := 2 + int(b[1]) // tag and length of one byte each, as nearly all are
		return protowire.Number(b[0] >> 3), b[2:end], b[end:], nil
	}
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, nil, nil, fmt.Errorf("field tag with %d bytes left: %w", len(b), protowire.ParseError(n))
	}
	b = b[n:]
	if typ == protowire.BytesType {
		v, n = protowire.ConsumeBytes(b)
	} else if n = protowire.ConsumeFieldValue(num, typ, b); n >= 0 {
		num = 0 // of another wire type than any field looked for
	}
	if n < 0 {
		return 0, nil, nil, fmt.Errorf("field %d with %d bytes left: %w", num, len(b), protowire.ParseError(n))
	}
	return num, v, b[n:], nil
}

// Count is the number of spans, metric points or log records of an encoded
// Export*ServiceRequest. It looks no deeper than it must.
func Count(sig otlp.Signal, b []byte) (items int, err error) {
	count := func([]byte) error { items++; return nil }
	item := count
	if sig == otlp.Metrics {
		item = func(metric []byte) error {
			for len(metric) > 0 {
				num, data, rest, err := field(metric)
				if err != nil {
					return err
				}
				switch num {
				case 5, 7, 9, 10, 11:
					if err := eachField(data, 1, count); err != nil {
						return err
					}
				}
				metric = rest
			}
			return nil
		}
	}
	err = eachField(b, 1, func(block []byte) error {
		return eachField(block, 2, func(scope []byte) error {
			return eachField(scope, 2, item)
		})
	})
	return items, err
}
