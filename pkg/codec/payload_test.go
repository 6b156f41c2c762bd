package codec

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// payload encodes an ExportTraceServiceRequest of about n bytes: resources of
// services, spans with ids, times near each other and attributes of few and of
// many values. The same n and seed give the same bytes.
func payload(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, 0, n+16<<10)
	now := uint64(1_760_000_000_000_000_000)
	for len(out) < n {
		service := fmt.Sprintf("shop-%s-%d", []string{"cart", "checkout", "search", "payment", "mail"}[r.IntN(5)], r.IntN(40))
		var spans []byte
		for range 20 + r.IntN(60) {
			now += r.Uint64N(3_000_000)
			spans = field(spans, 2, span(r, now))
		}
		resource := attribute(nil, 1, "service.name", service)
		resource = attribute(resource, 1, "host.name", fmt.Sprintf("ip-10-0-%d-%d.internal", r.IntN(8), r.IntN(250)))
		resource = attribute(resource, 1, "telemetry.sdk.language", "go")
		rs := field(nil, 1, resource)
		rs = field(rs, 2, append(field(nil, 1, field(nil, 1, []byte("otelhttp"))), spans...))
		out = field(out, 1, rs)
	}
	return out
}

func span(r *rand.Rand, start uint64) []byte {
	ids := binary.LittleEndian.AppendUint64(nil, r.Uint64())
	ids = binary.LittleEndian.AppendUint64(ids, r.Uint64())
	ids = binary.LittleEndian.AppendUint64(ids, r.Uint64())
	b := field(nil, 1, ids[:16])
	b = field(b, 2, ids[16:])
	route := []string{"/api/v1/cart/{id}", "/api/v1/products", "/api/v1/orders/{id}/items", "/healthz"}[r.IntN(4)]
	b = field(b, 5, []byte("GET "+route))
	b = append(b, 7<<3|1)
	b = binary.LittleEndian.AppendUint64(b, start)
	b = append(b, 8<<3|1)
	b = binary.LittleEndian.AppendUint64(b, start+r.Uint64N(90_000_000))
	b = attribute(b, 9, "http.request.method", "GET")
	b = attribute(b, 9, "http.route", route)
	b = attribute(b, 9, "url.path", fmt.Sprintf("/api/v1/orders/%d/items", r.IntN(1_000_000)))
	b = attribute(b, 9, "http.response.status_code", []string{"200", "200", "200", "404", "503"}[r.IntN(5)])
	b = attribute(b, 9, "user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0")
	b = attribute(b, 9, "client.address", fmt.Sprintf("172.16.%d.%d", r.IntN(256), r.IntN(256)))
	return attribute(b, 9, "session.id", fmt.Sprintf("%016x", r.Uint64()))
}

func attribute(b []byte, num byte, key, value string) []byte {
	kv := field(nil, 1, []byte(key))
	return field(b, num, field(kv, 2, field(nil, 1, []byte(value))))
}

func field(b []byte, num byte, body []byte) []byte {
	b = append(b, num<<3|2)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

// noise is what no codec can shrink.
func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// written are the codecs that Encoder writes.
var written = []string{None, S2, Zstd, Gzip, Brotli, SnappyFramed}

func encode(t testing.TB, name string, level int, src []byte) []byte {
	t.Helper()
	e, err := NewEncoder(name, level)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Append(nil, src)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
