package sample

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Severity numbers of opentelemetry/proto/logs/v1/logs.proto.
var severities = []struct {
	number uint64
	text   string
	share  int // of 100
}{{9, "INFO", 80}, {5, "DEBUG", 10}, {13, "WARN", 7}, {17, "ERROR", 3}}

var messages = []string{
	"request finished: {method} {path} status=200 bytes={n} took={ms}ms user={b}",
	"order {a} accepted for user {b}, {ms} lines, total {n}.90 EUR",
	"cache miss on key view:{a}{b}, loading from the primary, {n} bytes",
	"retrying call to {path}, attempt {ms}, request {a}: connection reset by peer after {n} bytes",
	"payment {a} authorized by provider in {n} ms, reference {b}",
	`{"event":"stock_changed","sku":"{a}","delta":-1,"left":{n},"by":"{b}","warehouse":{ms}}`,
}

func newLogPool(s *service, r *rng) []template {
	var out []template
	for range 192 {
		out = append(out, newLog(s, r))
	}
	return out
}

func newLog(s *service, r *rng) template {
	n, severity := r.below(100), severities[0]
	for _, severity = range severities {
		if n -= severity.share; n < 0 {
			break
		}
	}
	rt := pick(r, s.routes)
	body := strings.NewReplacer(
		"{method}", rt.method, "{path}", rt.path, "{a}", varying, "{b}", varying,
		"{n}", digits(r, 4), "{ms}", digits(r, 2),
	).Replace(pick(r, messages))

	var b builder
	b.body = appendFixed64(b.body, 1, 0)
	b.mark(&b.t.start, 8)
	b.body = appendVarint(b.body, 2, severity.number)
	b.body = appendString(b.body, 3, severity.text)
	b.body = appendBytes(b.body, 5, appendString(nil, 1, body))
	b.body = appendAttrs(b.body, 6, []attr{
		{"code.function.name", "shop." + s.name + "." + pick(r, []string{"Orders.place", "Http.serve", "Store.load", "Client.call"})},
		{"code.line.number", 20 + r.below(400)},
		{"thread.name", "http-exec-" + digits(r, 3)},
		{"log.iostream", "stdout"},
		{"app.user.id", varying},
	})
	b.body = protowire.AppendTag(b.body, 8, protowire.Fixed32Type)
	b.body = protowire.AppendFixed32(b.body, 1)
	b.body = appendBytes(b.body, 9, make([]byte, 16))
	b.mark(&b.t.trace, 16)
	b.body = appendBytes(b.body, 10, make([]byte, 8))
	b.mark(&b.t.span, 8)
	b.body = appendFixed64(b.body, 11, 0)
	b.mark(&b.t.end, 8)
	b.t.took = 200 * microsecond
	return b.template()
}
