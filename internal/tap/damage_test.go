package tap_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/tap"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

func TestPassesOverWhatCannotBeShown(t *testing.T) {
	r := newRig(t, 1)
	stream := topology.Stream(otlp.Traces, 0)
	n := 0
	for _, c := range []struct {
		name    string
		message func() *queue.Message
		kind    tap.Kind
		want    string
	}{
		{"a body that changed", func() *queue.Message {
			m := r.message(otlp.Traces, "blue", spans("shop", "a"))
			m.Body = bytes.Clone(m.Body)
			m.Body[len(m.Body)/2] ^= 1
			return m
		}, tap.KindDamaged, "checksum"},
		{"no headers", func() *queue.Message { return &queue.Message{ID: "bare", Body: []byte("x")} }, tap.KindDamaged, record.HeaderVersion},
		{"another signal", func() *queue.Message { return r.message(otlp.Logs, "blue", logs("shop", "a")) }, tap.KindDamaged, "logs in a stream of traces"},
		{"a newer version", func() *queue.Message {
			m := r.message(otlp.Traces, "blue", spans("shop", "a"))
			m.Header[record.HeaderVersion] = "99"
			return m
		}, tap.KindRefused, "upgrade"},
		{"larger than it says", func() *queue.Message {
			m := r.message(otlp.Traces, "blue", spans("shop", strings.Repeat("a", 100)))
			m.Header[record.HeaderRawBytes] = "50"
			return m
		}, tap.KindDamaged, "body of"},
		{"smaller than it says", func() *queue.Message {
			m := r.message(otlp.Traces, "blue", spans("shop", "a"))
			m.Header[record.HeaderRawBytes] = "5000"
			return m
		}, tap.KindDamaged, "is 5000"},
		{"no request", func() *queue.Message {
			return record.Encode(&record.Record{ID: "odd", Signal: otlp.Traces, Tenant: "blue", Codec: codec.None, RawBytes: 3, Body: []byte("\x0a\x05a")})
		}, tap.KindDamaged, "length 5 exceeds"},
		{"a bomb", func() *queue.Message {
			return r.message(otlp.Traces, "blue", spans("shop", strings.Repeat("a", 100_000)))
		}, tap.KindRefused, "the bound is 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.publish(stream, c.message())
			n += 2
			r.put(otlp.Traces, "", spans("shop", c.name))
			items := r.stored(func(o *tap.Options) { o.MaxMessageBytes, o.Services, o.Limit = 64<<10, []string{"shop"}, n/2 })
			if len(items) != n {
				t.Fatalf("%d items, want %d: %v", len(items), n, items)
			}
			bad, good := items[n-2], items[n-1]
			if bad.Kind != c.kind || bad.Sequence != uint64(n-1) || bad.Stream != stream || bad.StoredAt.IsZero() || !strings.Contains(bad.Problem, c.want) {
				t.Errorf("%+v, want %q", bad, c.want)
			}
			if good.Kind != tap.KindItem || good.Name != c.name {
				t.Errorf("%+v", good)
			}
			if line := bad.Line(0); !strings.HasPrefix(line, fmt.Sprintf("-- %s %s: sequence %d: ", stream, c.kind, n-1)) {
				t.Error(line)
			}
		})
	}
	if items := r.stored(func(o *tap.Options) { o.Tenants = []string{"green"} }); items != nil {
		t.Errorf("told to another tenant: %v", items)
	}
}

// An id of an odd length is sound on the wire, and nothing for the Collector's
// decoder.
func TestShowsWhatTheCollectorRefuses(t *testing.T) {
	field := func(num byte, b string) string { return string([]byte{num<<3 | 2, byte(len(b))}) + b }
	kv := field(1, "k") + field(2, field(1, "v"))
	r := newRig(t, 1)
	r.put(otlp.Traces, "", []byte(field(1, field(2, field(2, field(1, "odd")+field(5, "name")+field(9, kv))))))
	for _, full := range []bool{false, true} {
		items := r.stored(func(o *tap.Options) { o.Full = full })
		if len(items) != 1 || items[0].Kind != tap.KindItem || !strings.Contains(items[0].Problem, "Collector") || len(items[0].Attributes) != 1 {
			t.Fatalf("%+v", items)
		}
		if line := items[0].Line(0); !strings.Contains(line, "k=v problem: the Collector's decoder refuses it") {
			t.Error(line)
		}
	}
}
