package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Headers of a message.
const (
	headerVersion = "Penstock-Version"
	headerKind    = "Penstock-Kind"
	headerPart    = "Penstock-Part"  // of a snapshot: 2/3
	headerCodec   = "Penstock-Codec" // of a snapshot

	version      = "1"
	kindEvents   = "events"
	kindSnapshot = "snapshot"
)

// A snapshot is JSON, compressed, cut into parts.
const (
	snapshotCodec = codec.Zstd
	partBytes     = 512 << 10
	// maxParts and maxSnapshot bound what is read, in parts and in bytes of JSON.
	maxParts    = 256
	maxSnapshot = 512 << 20
)

var errSnapshotTooLarge = errors.New("the state is too large for a snapshot")

// encodeSnapshot gives the parts.
func encodeSnapshot(snap alerts.Snapshot) ([][]byte, error) {
	text, err := json.Marshal(snap)
	if err != nil {
		return nil, fmt.Errorf("encode a snapshot: %w", err)
	}
	encoder, err := codec.NewEncoder(snapshotCodec, 0)
	if err != nil {
		return nil, err
	}
	b, err := encoder.Append(nil, text)
	if err != nil {
		return nil, fmt.Errorf("compress a snapshot of %d bytes: %w", len(text), err)
	}
	if len(b) > maxParts*partBytes || len(text) > maxSnapshot {
		return nil, fmt.Errorf("%w: %d bytes, and %d compressed; want at most %d and %d", errSnapshotTooLarge, len(text), len(b), maxSnapshot, maxParts*partBytes)
	}
	var parts [][]byte
	for len(b) > partBytes {
		parts, b = append(parts, b[:partBytes]), b[partBytes:]
	}
	return append(parts, b), nil
}

// decodeSnapshot reads one that is whole, compressed with the codec of that name.
func decodeSnapshot(name string, b []byte) (*alerts.Snapshot, error) {
	text, err := codec.Decode(nil, name, b, maxSnapshot)
	if err != nil {
		return nil, fmt.Errorf("a snapshot of %d bytes: %w", len(b), err)
	}
	var snap alerts.Snapshot
	if err := json.Unmarshal(text, &snap); err != nil {
		return nil, fmt.Errorf("a snapshot of %d bytes: %w", len(text), err)
	}
	return &snap, nil
}

// partOf reads which part of how many a message is; 0 for what is none, or of another
// version.
func partOf(m *queue.Message) (n, of int) {
	if m.Header[headerVersion] != version || m.Header[headerKind] != kindSnapshot {
		return 0, 0
	}
	a, b, _ := strings.Cut(m.Header[headerPart], "/")
	n, err1 := strconv.Atoi(a)
	of, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || n < 1 || n > of || of > maxParts {
		return 0, 0
	}
	return n, of
}

// collector puts snapshots together. Parts of one stand directly behind each other.
type collector struct {
	b    []byte
	next uint64 // where the next part is to be; 0: none is awaited
	part int    // which it is
	of   int
}

// add takes a message. whole are the bytes of a snapshot that it completes, of the
// codec of its last part.
func (c *collector) add(m *queue.Message, at uint64) (whole []byte, is bool) {
	n, of := partOf(m)
	if n == 0 {
		c.drop()
		return nil, false
	}
	switch {
	case n == 1:
		*c = collector{b: append([]byte(nil), m.Body...), next: at + 1, part: 2, of: of}
	case at == c.next && n == c.part && of == c.of:
		c.b, c.next, c.part = append(c.b, m.Body...), at+1, n+1
	default: // the end of one whose beginning is gone, or that was never whole
		c.drop()
		return nil, true
	}
	if n < of {
		return nil, true
	}
	whole = c.b
	c.drop()
	return whole, true
}

// awaits tells whether a snapshot was begun and is not whole.
func (c *collector) awaits() bool { return c.next != 0 }

func (c *collector) drop() { *c = collector{} }
