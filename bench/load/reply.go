package load

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// accepted is nil when an Export*ServiceResponse says that all was taken. A
// partial_success that rejects nothing is full success, with or without a
// message (a warning).
func accepted(reply []byte) error {
	partial, err := bytesField(reply, 1)
	if err != nil || partial == nil {
		return err
	}
	for b := partial; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if num == 1 && typ == protowire.VarintType {
			rejected, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			if rejected > 0 {
				why, err := bytesField(partial, 2)
				return errors.Join(fmt.Errorf("%d items of a request were rejected: %s", rejected, why), err)
			}
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil
}

// bytesField is the last value of a field of wire type 2, nil without one.
func bytesField(b []byte, want protowire.Number) (v []byte, err error) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 {
			return nil, fmt.Errorf("reply with %d bytes left: %w", len(b), protowire.ParseError(n))
		}
		if num == want && typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			v, _ = protowire.ConsumeBytes(b[tag:])
		}
		b = b[n:]
	}
	return v, nil
}
