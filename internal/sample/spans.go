package sample

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Span kinds and status codes of opentelemetry/proto/trace/v1/trace.proto.
const (
	kindInternal = 1
	kindServer   = 2
	kindClient   = 3

	statusError = 2

	flagsLocal  = 0x101 // sampled, has-is-remote
	flagsRemote = 0x301 // and the parent is remote
)

func newSpanPool(s *service, r *rng) *spanPool {
	p := &spanPool{}
	for range 48 {
		p.roots = append(p.roots, serverSpan(s, r))
	}
	for i := range p.roots {
		if t := &p.roots[i]; t.parent == 0 {
			p.entries = append(p.entries, t)
		} else {
			p.remotes = append(p.remotes, t)
		}
	}
	for range 144 {
		switch n := r.below(10); {
		case n < 5 && len(s.tables) > 0:
			p.children = append(p.children, dbSpan(s, r))
		case n < 8 && len(s.calls) > 0:
			p.children = append(p.children, rpcSpan(s, r))
		case n < 9:
			p.children = append(p.children, cacheSpan(s, r))
		default:
			p.children = append(p.children, internalSpan(s, r))
		}
	}
	return p
}

type spanDesc struct {
	name     string
	kind     uint64
	parent   bool
	remote   bool
	took     uint64
	attrs    []attr
	failed   string // status message; empty: unset
	eventful bool   // has an exception event
}

// newSpan writes the fields in ascending order, as the official encoder does.
func newSpan(d spanDesc) template {
	var b builder
	b.body = appendBytes(b.body, 1, make([]byte, 16))
	b.mark(&b.t.trace, 16)
	b.body = appendBytes(b.body, 2, make([]byte, 8))
	b.mark(&b.t.span, 8)
	if d.parent {
		b.body = appendBytes(b.body, 4, make([]byte, 8))
		b.mark(&b.t.parent, 8)
	}
	b.body = appendString(b.body, 5, d.name)
	b.body = appendVarint(b.body, 6, d.kind)
	b.body = appendFixed64(b.body, 7, 0)
	b.mark(&b.t.start, 8)
	b.body = appendFixed64(b.body, 8, 0)
	b.mark(&b.t.end, 8)
	b.body = appendAttrs(b.body, 9, d.attrs)
	if d.eventful {
		event := appendFixed64(nil, 1, 0)
		event = appendString(event, 2, "exception")
		event = appendAttrs(event, 3, []attr{
			{"exception.type", "UpstreamTimeout"},
			{"exception.message", d.failed},
			{"exception.stacktrace", "at shop.Client.call(Client:214)\nat shop.Handler.serve(Handler:88)\nat runtime.Worker.run(Worker:31)"},
		})
		b.body = appendBytes(b.body, 11, event)
		b.t.event = int32(len(b.body)-len(event)) + 1 // past the tag of its time
	}
	if d.failed != "" {
		status := appendString(nil, 2, d.failed)
		status = appendVarint(status, 3, statusError)
		b.body = appendBytes(b.body, 15, status)
	}
	flags := uint32(flagsLocal)
	if d.remote {
		flags = flagsRemote
	}
	b.body = protowire.AppendTag(b.body, 16, protowire.Fixed32Type)
	b.body = protowire.AppendFixed32(b.body, flags)
	b.t.took = d.took
	b.t.root = d.kind == kindServer
	return b.template()
}

var userAgents = []string{
	"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15",
	"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0",
}

func serverSpan(s *service, r *rng) template {
	rt := pick(r, s.routes)
	status, failed := 200, ""
	switch n := r.below(40); {
	case n == 0:
		status, failed = 503, "upstream timed out after 2000 ms"
	case n < 3:
		status = 404
	}
	return newSpan(spanDesc{
		name: rt.method + " " + rt.template, kind: kindServer, parent: r.below(3) > 0, remote: true,
		took: uint64(4+r.below(60)) * millisecond,
		attrs: []attr{
			{"http.request.method", rt.method},
			{"http.route", rt.template},
			{"url.path", rt.path},
			{"url.scheme", "https"},
			{"server.address", s.name + ".shop.svc"},
			{"http.response.status_code", status},
			{"http.response.body.size", 200 + r.below(9000)},
			{"client.address", address(r)},
			{"user_agent.original", pick(r, userAgents)},
			{"network.protocol.version", "1.1"},
			{"session.id", varying},
		},
		failed: failed, eventful: failed != "",
	})
}

func dbSpan(s *service, r *rng) template {
	table := pick(r, s.tables)
	verb := pick(r, []string{"SELECT", "SELECT", "SELECT", "INSERT", "UPDATE"})
	text := map[string]string{
		"SELECT": "SELECT id, state, payload, updated_at FROM " + table + " WHERE shop_id = $1 AND id = $2",
		"INSERT": "INSERT INTO " + table + " (id, shop_id, state, payload) VALUES ($1, $2, $3, $4)",
		"UPDATE": "UPDATE " + table + " SET state = $1, updated_at = now() WHERE id = $2",
	}[verb]
	return newSpan(spanDesc{
		name: verb + " " + table, kind: kindClient, parent: true,
		took: uint64(300+r.below(6000)) * microsecond,
		attrs: []attr{
			{"db.system.name", "postgresql"},
			{"db.namespace", s.name},
			{"db.collection.name", table},
			{"db.operation.name", verb},
			{"db.query.text", text},
			{"db.response.returned_rows", r.below(50)},
			{"db.query.parameter.id", varying + varying},
			{"server.address", "postgres-" + s.name + ".shop.svc"},
			{"server.port", 5432},
			{"thread.name", "worker-" + digits(r, 3)},
		},
	})
}

func rpcSpan(s *service, r *rng) template {
	call := pick(r, s.calls)
	serviceName, method, _ := strings.Cut(call, "/")
	code, failed := 0, ""
	if r.below(50) == 0 {
		code, failed = 4, "context deadline exceeded"
	}
	return newSpan(spanDesc{
		name: call, kind: kindClient, parent: true,
		took: uint64(1+r.below(25)) * millisecond,
		attrs: []attr{
			{"rpc.system", "grpc"},
			{"rpc.service", serviceName},
			{"rpc.method", method},
			{"rpc.grpc.status_code", code},
			{"server.address", strings.ToLower(strings.TrimPrefix(serviceName, "shop.")) + ".shop.svc"},
			{"server.port", 8443},
			{"network.peer.address", address(r)},
			{"network.peer.port", 8443},
			{"network.transport", "tcp"},
			{"app.request.id", varying + varying},
			{"app.request.attempt", 1},
			{"thread.name", "grpc-" + digits(r, 3)},
		},
		failed: failed, eventful: failed != "",
	})
}

func cacheSpan(s *service, r *rng) template {
	return newSpan(spanDesc{
		name: "GET", kind: kindClient, parent: true,
		took: uint64(80+r.below(900)) * microsecond,
		attrs: []attr{
			{"db.system.name", "redis"},
			{"db.operation.name", "GET"},
			{"db.query.text", "GET " + s.name + ":view:" + varying + varying},
			{"db.namespace", digits(r, 1)},
			{"server.address", "redis-" + s.name + "-0.redis.shop.svc.cluster.local"},
			{"server.port", 6379},
			{"network.peer.address", address(r)},
			{"network.peer.port", 6379},
			{"cache.hit", r.below(4) > 0},
			{"thread.name", "worker-" + digits(r, 3)},
		},
	})
}

func internalSpan(s *service, r *rng) template {
	function := pick(r, []string{"render", "validate", "price", "serialize", "authorize"})
	return newSpan(spanDesc{
		name: s.name + "." + function, kind: kindInternal, parent: true,
		took: uint64(20+r.below(2000)) * microsecond,
		attrs: []attr{
			{"code.function.name", "shop." + s.name + ".internal." + function},
			{"code.file.path", "/src/" + s.name + "/internal/" + function + "/" + function + "_handler"},
			{"code.line.number", 20 + r.below(400)},
			{"thread.id", 1 + r.below(200)},
			{"thread.name", "worker-" + digits(r, 3)},
			{"app.user.id", varying},
			{"app.order.id", varying},
			{"app.feature.flags", "new-checkout=on;fast-quotes=off;dark-mode=on"},
		},
	})
}

func address(r *rng) string {
	return "10." + digits(r, 2) + "." + digits(r, 2) + "." + digits(r, 2)
}

// digits is a number of n digits, the first not zero.
func digits(r *rng, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.below(10))
	}
	if b[0] == '0' {
		b[0] = '7'
	}
	return string(b)
}
