// Package shiptest makes payloads whose items are known by number, so that books
// can be kept of what became of each, and an exporter that keeps them.
package shiptest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Logs is an encoded ExportLogsServiceRequest of n log records, numbered from
// from, a hundred in a resource, each of about 50 bytes and pad more.
func Logs(from, n, pad int) []byte {
	var out []byte
	for at := from; at < from+n; at += 100 {
		var scope []byte
		for i := at; i < min(at+100, from+n); i++ {
			body := field(nil, 1, fmt.Appendf(bytes.Repeat([]byte("."), pad), "item-%07d;", i))
			record := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, 1_700_000_000_000_000_000)
			scope = field(scope, 2, field(record, 5, body))
		}
		resource := field(nil, 1, nil) // an empty resource
		out = field(out, 1, field(resource, 2, scope))
	}
	return out
}

// Teams is Logs with a resource for each run of items of one team, which has it as
// its attribute "team"; "" has no attribute.
func Teams(from, n int, team func(i int) string) []byte {
	var out []byte
	for at := from; at < from+n; {
		name, to := team(at), at+1
		for to < from+n && team(to) == name {
			to++
		}
		var resource []byte
		if name != "" {
			value := field(nil, 1, []byte(name))
			resource = field(nil, 1, field(field(nil, 1, []byte("team")), 2, value))
		}
		var scope []byte
		for i := at; i < to; i++ {
			record := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, 1_700_000_000_000_000_000)
			scope = field(scope, 2, field(record, 5, field(nil, 1, fmt.Appendf(nil, "item-%07d;", i))))
		}
		out = field(out, 1, field(field(nil, 1, resource), 2, scope))
		at = to
	}
	return out
}

func field(dst []byte, number int, value []byte) []byte {
	dst = append(dst, byte(number<<3|2))
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// Numbers of the log records in a payload, in order.
func Numbers(raw []byte) (out []int) {
	for {
		i := bytes.Index(raw, []byte("item-"))
		if i < 0 || i+13 > len(raw) {
			return out
		}
		if n, err := strconv.Atoi(string(raw[i+5 : i+12])); err == nil && raw[i+12] == ';' {
			out = append(out, n)
		}
		raw = raw[i+5:]
	}
}

// Backend is a destination that keeps books. Its fields are set before it is
// used.
type Backend struct {
	// Judge answers a request of these items and bytes; nil takes it. It is
	// called by one goroutine at a time. A request whose Lost is true is taken
	// although it gets an error.
	Judge func(items []int, bytes int) error
	Lost  func(error) bool
	// Each is called at the beginning of each export, by many goroutines.
	Each func(ctx context.Context, q *exporter.Request)

	mu       sync.Mutex
	got      map[int]int
	requests int
	largest  int
}

// Export implements exporter.Exporter.
func (b *Backend) Export(ctx context.Context, q *exporter.Request) (exporter.Result, error) {
	if b.Each != nil {
		b.Each(ctx, q)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	raw, err := codec.Decode(nil, q.Codec, q.Body, 1<<30)
	items := Numbers(raw)
	switch {
	case err != nil:
		return exporter.Result{}, &exporter.Error{Kind: exporter.Permanent, Code: "undecodable", Err: err}
	case len(items) != q.Items || len(raw) != q.RawBytes:
		return exporter.Result{}, &exporter.Error{Kind: exporter.Permanent, Code: "TEST",
			Err: fmt.Errorf("a request of %d items in %d bytes says %d in %d", len(items), len(raw), q.Items, q.RawBytes)}
	}
	b.largest = max(b.largest, len(raw))
	if b.Judge != nil {
		err = b.Judge(items, len(raw))
	}
	if err != nil && (b.Lost == nil || !b.Lost(err)) {
		return exporter.Result{}, err
	}
	if b.got == nil {
		b.got = map[int]int{}
	}
	for _, i := range items {
		b.got[i]++
	}
	return exporter.Result{}, err
}

// Close implements exporter.Exporter.
func (*Backend) Close() error { return nil }

// Got tells how often each item was taken.
func (b *Backend) Got() map[int]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[int]int, len(b.got))
	for i, n := range b.got {
		out[i] = n
	}
	return out
}

// Requests is their number, and the largest one in bytes.
func (b *Backend) Requests() (n, largest int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests, b.largest
}
