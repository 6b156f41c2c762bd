package sample

import (
	"math"
	"slices"
	"sync"
)

// kind is the data field of a Metric in metrics.proto.
type kind uint8

const (
	gauge     kind = 5
	sum       kind = 7
	histogram kind = 9
)

// instrument is one metric of every pod and the series it has there.
type instrument struct {
	name, unit, text string
	kind             kind
	counter          bool // monotonic sum
	ints             bool // integer values
	mid              float64
	series           [][]attr
}

func each(key string, values ...string) [][]attr {
	var out [][]attr
	for _, v := range values {
		out = append(out, []attr{{key, v}})
	}
	return out
}

// with adds the attributes to every one of the sets.
func with(sets [][]attr, more ...attr) [][]attr {
	var out [][]attr
	for _, s := range sets {
		out = append(out, append(append([]attr{}, s...), more...))
	}
	return out
}

var (
	cpus     = each("cpu", "0", "1", "2", "3", "4", "5", "6", "7")
	none     = [][]attr{nil}
	bounds   = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}
	statuses = each("http.response.status_code", "200", "404", "503")
)

var instruments = []instrument{
	{name: "system.cpu.utilization", unit: "1", text: "Share of time the processor was busy", kind: gauge, mid: 0.2,
		series: with(cpus, attr{"cpu.mode", "user"})},
	{name: "system.cpu.time", unit: "s", text: "Time by processor and mode", kind: sum, counter: true, mid: 0.4,
		series: slices.Concat(with(cpus, attr{"cpu.mode", "user"}), with(cpus, attr{"cpu.mode", "system"}),
			with(cpus, attr{"cpu.mode", "idle"}), with(cpus, attr{"cpu.mode", "iowait"}))},
	{name: "system.memory.utilization", unit: "1", text: "Share of memory in use", kind: gauge, mid: 0.3,
		series: each("system.memory.state", "used", "cached", "free")},
	{name: "system.memory.usage", unit: "By", text: "Memory by state", kind: sum, ints: true, mid: 3 << 30,
		series: each("system.memory.state", "used", "cached", "free", "buffers")},
	{name: "system.network.io", unit: "By", text: "Bytes by interface and direction", kind: sum, counter: true, ints: true, mid: 2 << 20,
		series: append(with(each("network.interface.name", "eth0", "lo"), attr{"direction", "receive"}),
			with(each("network.interface.name", "eth0", "lo"), attr{"direction", "transmit"})...)},
	{name: "system.disk.operations", unit: "{operation}", text: "Disk operations", kind: sum, counter: true, ints: true, mid: 120,
		series: append(with(each("disk.io.direction", "read", "write"), attr{"system.device", "nvme0n1"}),
			with(each("disk.io.direction", "read", "write"), attr{"system.device", "nvme1n1"})...)},
	{name: "process.memory.usage", unit: "By", text: "Resident memory", kind: gauge, ints: true, mid: 200 << 20, series: none},
	{name: "process.cpu.utilization", unit: "1", text: "Share of the processors used", kind: gauge, mid: 0.2, series: none},
	{name: "http.server.active_requests", unit: "{request}", text: "Requests being served", kind: sum, ints: true, mid: 14,
		series: with(each("http.request.method", "GET", "POST"), attr{"url.scheme", "https"})},
	{name: "http.server.request.duration", unit: "s", text: "Duration of served requests", kind: histogram, mid: 90,
		series: with(statuses, attr{"http.request.method", "GET"}, attr{"http.route", "/v1/items/{id}"})},
	{name: "db.client.connection.count", unit: "{connection}", text: "Pooled connections by state", kind: sum, ints: true, mid: 10,
		series: with(each("db.client.connection.state", "idle", "used"), attr{"db.client.connection.pool.name", "postgres-main"})},
	{name: "db.client.operation.duration", unit: "s", text: "Duration of database operations", kind: histogram, mid: 240,
		series: each("db.operation.name", "SELECT", "INSERT")},
	{name: "rpc.client.calls", unit: "{call}", text: "Calls by method and outcome", kind: sum, counter: true, ints: true, mid: 45,
		series: append(with(each("rpc.method", "GetProduct", "AddItem", "Charge", "Quote"), attr{"rpc.grpc.status_code", 0}),
			with(each("rpc.method", "GetProduct", "AddItem", "Charge", "Quote"), attr{"rpc.grpc.status_code", 4})...)},
	{name: "queue.depth", unit: "{message}", text: "Messages waiting", kind: gauge, ints: true, mid: 30,
		series: with(each("messaging.destination.name", "orders", "mails", "parcels"), attr{"messaging.system", "nats"})},
}

// metric is an instrument, encoded: what stands around its points.
type metric struct {
	head   []byte // name, description and unit
	tag    byte   // of the data field
	tail   []byte // temporality and monotonicity, after the points
	points []point
}

// point is an encoded data point with tag and length. Offsets as in template.
type point struct {
	b           []byte
	start, time int32
	id          int32
	value       int32
	ints        bool
	counter     bool
	mid         float64
	series      uint64 // the number of the series within its pod
	count, sum  int32  // histogram
	buckets     int32  // the first of len(bounds)+1
}

var (
	metricsPlain = sync.OnceValue(func() []metric { return newMetrics(false) })
	metricsIDs   = sync.OnceValue(func() []metric { return newMetrics(true) })
)

func newMetrics(ids bool) []metric {
	var out []metric
	var series uint64
	for _, in := range instruments {
		m := metric{tag: byte(in.kind)<<3 | 2}
		m.head = appendString(m.head, 1, in.name)
		m.head = appendString(m.head, 2, in.text)
		m.head = appendString(m.head, 3, in.unit)
		if in.kind != gauge {
			m.tail = appendVarint(m.tail, 2, 2) // cumulative
		}
		if in.counter {
			m.tail = appendVarint(m.tail, 3, 1)
		}
		for i, attrs := range in.series {
			if ids {
				attrs = append(attrs[:len(attrs):len(attrs)], attr{PointIDKey, make([]byte, 8)})
			}
			p := newPoint(in, attrs)
			p.mid = in.mid * (1 + float64(i)/8)
			p.series = series
			series++
			if ids {
				p.id = int32(len(p.b) - 8) // the value ends the last attribute
			}
			m.points = append(m.points, p)
		}
		out = append(out, m)
	}
	return out
}

// newPoint writes the fields in ascending order: the attributes of a number
// point come last but for its flags, which are 0; those of a histogram too.
func newPoint(in instrument, attrs []attr) point {
	p := point{ints: in.ints, counter: in.counter}
	var b []byte
	mark := func(at *int32, n int) { *at = int32(len(b) - n) }
	b = appendFixed64(b, 2, 0)
	mark(&p.start, 8)
	b = appendFixed64(b, 3, 0)
	mark(&p.time, 8)
	if in.kind == histogram {
		b = appendFixed64(b, 4, 0)
		mark(&p.count, 8)
		b = appendDouble(b, 5, 0)
		mark(&p.sum, 8)
		counts := make([]byte, 8*(len(bounds)+1))
		b = appendBytes(b, 6, counts)
		mark(&p.buckets, len(counts))
		limits := make([]byte, 8*len(bounds))
		for i, v := range bounds {
			put64(limits, int32(8*i), math.Float64bits(v))
		}
		b = appendBytes(b, 7, limits)
		b = appendAttrs(b, 9, attrs)
	} else {
		field := 4
		if in.ints {
			field = 6
		}
		b = append(b, byte(field<<3|1))
		b = append(b, make([]byte, 8)...)
		mark(&p.value, 8)
		b = appendAttrs(b, 7, attrs)
	}
	p.b = appendBytes(nil, 1, b)
	shift := int32(len(p.b) - len(b))
	for _, at := range []*int32{&p.start, &p.time, &p.value, &p.count, &p.sum, &p.buckets} {
		if *at != 0 {
			*at += shift
		}
	}
	return p
}
