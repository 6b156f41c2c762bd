package conformance

import (
	"bytes"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// largeItem is a valid request of exactly size bytes with one item, most of
// which is a text beside it. Only its ends are held in memory.
func largeItem(s signal, mark string, size int64) io.Reader {
	return largeRequest(s, mark, size, size)
}

// largeRequest is a valid request of exactly size bytes, of items with texts of
// at most itemSize bytes. Requests concatenated are one request with the
// resources of all, so it is a series of largest items.
func largeRequest(s signal, mark string, size, itemSize int64) io.Reader {
	var parts []io.Reader
	for size > 0 {
		n := min(size, itemSize)
		if rest := size - n; rest > 0 && rest < 4096 {
			n = size - 4096
		}
		parts = append(parts, largePart(s, mark, n))
		size -= n
	}
	return io.MultiReader(parts...)
}

// largePart is a request of exactly size bytes, at least 4096. The bulk is the
// schema_url of its resource.
func largePart(s signal, mark string, size int64) io.Reader {
	small := s.request(mark)
	bulk := size
	for range 16 { // lengths of lengths settle at once
		head := appendLarge(small, bulk)
		total := int64(len(head)) + bulk
		if total == size {
			return io.MultiReader(bytes.NewReader(head), io.LimitReader(repeat{}, bulk))
		}
		bulk += size - total
	}
	// One length is not reachable by one field: an unknown field evens it out.
	pad := protowire.AppendVarint(protowire.AppendTag(nil, 1999, protowire.VarintType), 1)
	return io.MultiReader(largePart(s, mark, size-int64(len(pad))), bytes.NewReader(pad))
}

// appendLarge is a request but for its last bulk bytes, which are a schema_url
// at the end of its only resource level.
func appendLarge(small []byte, bulk int64) []byte {
	_, _, n := protowire.ConsumeTag(small)
	inner, _ := protowire.ConsumeBytes(small[n:])
	field := protowire.AppendTag(nil, 3, protowire.BytesType) // schema_url of Resource{Spans,Metrics,Logs}
	field = protowire.AppendVarint(field, uint64(bulk))
	head := append([]byte(nil), small[:n]...)
	head = protowire.AppendVarint(head, uint64(int64(len(inner)+len(field))+bulk))
	head = append(head, inner...)
	return append(head, field...)
}

// repeat reads x without end.
type repeat struct{}

func (repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// withUnknown is b with a field of a later version at its top level and in its
// resource level, and the texts that must survive.
func withUnknown(b []byte, mark string) []byte {
	unknown := protowire.AppendTag(nil, 1998, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "later-"+mark)
	_, _, n := protowire.ConsumeTag(b)
	inner, _ := protowire.ConsumeBytes(b[n:])
	out := append([]byte(nil), b[:n]...)
	out = protowire.AppendBytes(out, append(append([]byte(nil), inner...), unknown...))
	return append(out, unknown...)
}
