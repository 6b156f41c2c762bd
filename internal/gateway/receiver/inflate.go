package receiver

import (
	"context"
	"errors"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// How much is reserved for decompressed data.
const (
	// usualRatio guesses the size where the data does not declare it.
	usualRatio = 8
	// boldRatio is how far a declared size is believed when it comes to memory;
	// what is reserved of the budget is always all of it.
	boldRatio = 32
	// minRoom is the least that is reserved.
	minRoom = 4 << 10
)

// firstRoom is how many bytes to reserve for data that packed bytes declare to
// hold, or do not (-1). A claim of more than limit is left for the codec to
// judge: in damaged gzip it is any number.
func firstRoom(declared, packed, limit int) int {
	if declared < 0 {
		declared = usualRatio * packed
	}
	return min(limit, max(declared, minRoom))
}

// trusted is how many bytes are decompressed without knowing that there are no
// more.
const trusted = 4 << 20

// inflate decompresses src, charged to v beside what v holds already. The
// result lives in b, unless the codec needed other memory than b has. What is
// large, or larger than it seemed, is measured first, so that a bomb is refused
// before it has memory.
func (v *visit) inflate(ctx context.Context, encoding string, src []byte, b *body, limit int) ([]byte, *otlp.Refusal) {
	wide := codec.Window(encoding, src) > trusted // any look at it fills that
	if len(src) > largePacked || wide {
		if r := v.large(ctx); r != nil {
			return nil, r
		}
	}
	c := &v.held
	base := c.held
	room := firstRoom(codec.DeclaredSize(encoding, src), len(src), limit)
	if wide {
		room = max(room, min(limit, trusted+1)) // asks for the measure
	}
	buffer := min(room, max(boldRatio*len(src), 64<<10))
	pace := v.pace(ctx)
	for measured := false; ; {
		if room > trusted && !measured {
			if r := v.large(ctx); r != nil {
				return nil, r
			}
			n, err := codec.MeasurePaced(encoding, src, limit, pace)
			if r := halt(err); r != nil {
				return nil, r
			}
			if err != nil {
				return nil, inflateRefusal(encoding, err, limit)
			}
			room, buffer, measured = max(n, 1), max(n, 1), true
		}
		if refusal := c.grow(base + room); refusal != nil {
			return nil, refusal
		}
		b.grow(buffer, 0)
		out, err := codec.DecodePaced((*b.buf)[:0], encoding, src, room, pace)
		if r := halt(err); r != nil {
			return nil, r
		}
		switch {
		case err == nil:
			if cap(out) > 0 && &out[:1][0] != &(*b.buf)[:1][0] {
				b.free() // out is another slice, which the collector frees
			}
			return out, nil
		case errors.Is(err, codec.ErrTooLarge) && !measured && room < limit:
			room = trusted + 1 // asks for the measure
		default:
			return nil, inflateRefusal(encoding, err, limit)
		}
	}
}

func inflateRefusal(encoding string, err error, limit int) *otlp.Refusal {
	if errors.Is(err, codec.ErrTooLarge) {
		return tooLarge(limit, "the body after decompression")
	}
	return otlp.Refuse(otlp.ReasonMalformed, err, "the body is not valid %s: %v", encoding, err)
}
