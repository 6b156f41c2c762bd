package sample

import (
	"bytes"
	"sync"
)

// template is an encoded span or log record, with the tag and length that it
// has within its scope, and the places that differ from item to item.
// An offset of 0 says that there is no such place.
type template struct {
	b          []byte
	root       bool  // starts a trace
	trace      int32 // 16 bytes
	span       int32 // 8 bytes: the identity
	parent     int32 // 8 bytes
	start, end int32 // fixed64 ns; for logs event time and observed time
	event      int32 // fixed64 ns, between start and end
	hex        [2]int32
	took       uint64 // ns from start to end, before jitter
}

// source is one pod: whose telemetry one block of a request is.
type source struct {
	service  *service
	resource []byte // field 1 of the block
	scope    []byte // field 1 of its scope
	spans    *spanPool
	logs     []template
}

// spanPool has the spans of a service. entries and remotes are those of roots that
// begin a trace, and that another service called.
type spanPool struct {
	roots, children  []template
	entries, remotes []*template
}

// pool holds every template of spans and logs. It is made once, from a seed of
// its own, and never changed.
var pool = sync.OnceValue(func() []source {
	r := rng(1)
	var out []source
	for i := range services {
		s := &services[i]
		spans, logs := newSpanPool(s, &r), newLogPool(s, &r)
		for range replicas {
			out = append(out, source{
				service:  s,
				resource: s.resource(&r),
				scope:    appendBytes(nil, 1, appendString(appendString(nil, 1, s.scope), 2, "0.68.0")),
				spans:    spans,
				logs:     logs,
			})
		}
	}
	return out
})

// builder makes one template: body is the message, at which marks were noted.
type builder struct {
	body []byte
	t    template
}

// mark notes the offset of the last n bytes written.
func (b *builder) mark(at *int32, n int) { *at = int32(len(b.body) - n) }

// template closes the message as field 2 of its parent and moves every mark by
// the length of tag and length.
func (b *builder) template() template {
	t := b.t
	t.b = appendBytes(nil, 2, b.body)
	shift := int32(len(t.b) - len(b.body))
	for _, at := range []*int32{&t.trace, &t.span, &t.parent, &t.start, &t.end, &t.event} {
		if *at != 0 {
			*at += shift
		}
	}
	from := 0
	for i := range t.hex {
		at := bytes.Index(t.b[from:], []byte(varying))
		if at < 0 {
			break
		}
		t.hex[i] = int32(from + at)
		from += at + len(varying)
	}
	return t
}

// times of the schedule within one span.
const (
	microsecond = 1000
	millisecond = 1000 * microsecond
)
