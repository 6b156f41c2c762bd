package outgoing

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/pkg/codec"
)

var wires = []string{codec.None, codec.Gzip, codec.Zstd, codec.Brotli, codec.SnappyFramed}

func newBodies(t testing.TB, wire string, most int) *Bodies {
	t.Helper()
	b, err := NewBodies(wire, 0, most)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBodies(t *testing.T) {
	raw := exportertest.Body(otlp.Traces, 1, 100)
	for _, wire := range wires {
		b := newBodies(t, wire, 0)
		for _, stored := range exportertest.Stored {
			for _, rawBytes := range []int{len(raw), 0, 10 * len(raw)} { // the header may lie
				r := exportertest.Request(t, otlp.Traces, stored, raw)
				r.RawBytes = rawBytes
				body, err := b.Of(r)
				if err != nil {
					t.Errorf("%s stored as %s: %v", wire, stored, err)
					continue
				}
				if want := wire == stored && wire != codec.None; body.Stored != want {
					t.Errorf("%s stored as %s: Stored %v", wire, stored, body.Stored)
				}
				got, err := codec.Decode(nil, wire, body.Data, 1<<20)
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("%s stored as %s: %d bytes, %v", wire, stored, len(got), err)
				}
				body.Release()
			}
		}
		if b.InUse() != 0 {
			t.Errorf("%s: %d bytes were not given back", wire, b.InUse())
		}
	}
}

func TestBodiesThatCannotBe(t *testing.T) {
	raw := exportertest.Body(otlp.Traces, 1, 100)
	b := newBodies(t, codec.Zstd, len(raw))
	f := func(r *exporter.Request, want exportertest.Want) {
		t.Helper()
		_, err := b.Of(r)
		exportertest.Check(t, r.Codec, err, want)
	}
	bad := exportertest.Request(t, otlp.Traces, codec.Gzip, raw)
	bad.Body = bad.Body[:20]
	f(bad, exportertest.Want{Kind: exporter.Permanent, Code: "undecodable", Says: []string{"01JTEST"}})
	bad.Codec = "rot13"
	f(bad, exportertest.Want{Kind: exporter.Permanent, Code: "undecodable", Says: []string{"rot13"}})
	large := exportertest.Request(t, otlp.Traces, codec.Zstd, raw)
	large.RawBytes++
	f(large, exportertest.Want{Kind: exporter.TooLarge, Code: "too_large"})
	if b.InUse() != 0 {
		t.Errorf("%d bytes were not given back", b.InUse())
	}
	if _, err := NewBodies("rot13", 0, 0); err == nil {
		t.Error("took rot13")
	}
	if _, err := NewBodies(codec.None, 0, -1); err == nil {
		t.Error("took a limit of -1")
	}
}

func TestJSONLine(t *testing.T) {
	b := newBodies(t, codec.None, 0)
	line, err := b.JSONLine([]byte("> "), exportertest.Request(t, otlp.Logs, codec.S2, exportertest.Body(otlp.Logs, 1, 2)))
	if err != nil || !bytes.HasPrefix(line, []byte(`> {"resourceLogs":`)) || bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
		t.Errorf("%.80q, %v", line, err)
	}
	_, err = b.JSONLine(nil, &exporter.Request{Codec: codec.None, ID: "01J", Body: []byte{0xff}})
	exportertest.Check(t, "no protobuf", err, exportertest.Want{Kind: exporter.Permanent, Code: "undecodable", Says: []string{"01J"}})
	_, err = b.JSONLine(nil, &exporter.Request{Codec: codec.Zstd, ID: "01J", Body: []byte{0xff}})
	exportertest.Check(t, "no zstd", err, exportertest.Want{Kind: exporter.Permanent, Code: "undecodable"})
}

func TestHeaders(t *testing.T) {
	h, err := NewHeaders([]Header{{Name: "X-Key", Value: "hunter2-hunter2"}, {Name: "Authorization", Value: "Basic dXNlcjpwYXNz"}, {Name: "X-Env", Value: "prod"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	h.All(func(name, value string) { names = append(names, name+"="+value) })
	if got := strings.Join(names, " "); got != "X-Key=hunter2-hunter2 Authorization=Basic dXNlcjpwYXNz X-Env=prod" {
		t.Errorf("got %s", got)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, h); got != "[X-Key Authorization X-Env]" {
			t.Errorf("%s shows %s", verb, got)
		}
	}
	f := func(in, authorization, want string) {
		t.Helper()
		if got := h.Message(in, authorization); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("", "", "")
	f("key hunter2-hunter2 is unknown", "", "key *** is unknown")
	f("dXNlcjpwYXNz, Basic dXNlcjpwYXNz", "", "***, ***")
	f("in prod", "", "in prod")
	f("token abcdef-1 has expired", "Bearer abcdef-1", "token *** has expired")
	f("no \xff UTF-8", "", "no \uFFFD UTF-8")
	long := h.Message(strings.Repeat("é", 4000), "")
	if len(long) > maxMessage+len("…") || !utf8.ValidString(long) || !strings.HasSuffix(long, "é…") {
		t.Errorf("%d bytes, ends with %q", len(long), long[len(long)-8:])
	}
	if got := (Headers{}).Message("as it is", ""); got != "as it is" {
		t.Errorf("got %q", got)
	}
}

func TestBadHeaders(t *testing.T) {
	f := func(name, value, want string) {
		t.Helper()
		_, err := NewHeaders([]Header{{Name: "X-Ok", Value: "1"}, {Name: name, Value: value}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "headers[1]") || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("", "secret", "no header name")
	f("a b", "secret", "no header name")
	f("Content-Encoding", "secret", "set by the protocol")
	f("grpc-timeout", "secret", "set by the protocol")
	f("X-Key", "secret\n", "characters")
}

func TestCheckShown(t *testing.T) {
	for _, ok := range []string{"host:4317", "http://host:4318/base", "unix:///run/otlp.sock", "[::1]:4317"} {
		if err := CheckShown(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{"http://user:s3cret@host", "host:4317?s3cret", "http://host#s3cret"} {
		if err := CheckShown(bad); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func BenchmarkBodies(b *testing.B) {
	raw := exportertest.Body(otlp.Traces, 1, 2000)
	for _, c := range []struct{ stored, wire string }{{"zstd", "zstd"}, {"s2", "none"}, {"s2", "zstd"}, {"s2", "gzip"}, {"zstd", "none"}} {
		b.Run(c.stored+" to "+c.wire, func(b *testing.B) {
			x := newBodies(b, c.wire, 0)
			r := exportertest.Request(b, otlp.Traces, c.stored, raw)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				body, err := x.Of(r)
				if err != nil {
					b.Fatal(err)
				}
				body.Release()
			}
		})
	}
}

// Two tenants never become one, whatever their names.
func FuzzTenantValue(f *testing.F) {
	for _, s := range []string{"", "acme", "a b", "\r\nx: y", "50%", "%25", "é", "\x00", " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tenant string) {
		got := TenantValue(tenant)
		if err := CheckValue(got); err != nil || strings.TrimSpace(got) != got {
			t.Errorf("%q becomes %q: %v", tenant, got, err)
		}
		if back, err := url.PathUnescape(got); err != nil || back != tenant {
			t.Errorf("%q becomes %q, which is %q: %v", tenant, got, back, err)
		}
	})
}

// Headers change for everything that has them, and what was sent before is hidden
// still: its answer may be under way.
func TestHeadersChange(t *testing.T) {
	h, err := NewHeaders([]Header{{Name: "x-key", Value: "planted-1"}})
	if err != nil {
		t.Fatal(err)
	}
	other := h
	carries := func(want string) {
		t.Helper()
		got := ""
		other.All(func(name, value string) { got += name + "=" + value + " " })
		if got != want {
			t.Errorf("carries %q, want %q", got, want)
		}
	}
	if _, err := h.Prepare([]Header{{Name: "x-key", Value: "planted\n"}}); err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("a value that no header may have: %v", err)
	}
	apply, err := h.Prepare([]Header{{Name: "x-key", Value: "planted-2"}, {Name: "y", Value: "planted-3"}})
	if err != nil {
		t.Fatal(err)
	}
	carries("x-key=planted-1 ")
	apply()
	carries("x-key=planted-2 y=planted-3 ")
	if got := other.Message("planted-1 planted-2 planted-3", ""); got != "*** *** ***" {
		t.Errorf("says %q", got)
	}
	for i := range 1000 { // however often they change
		apply, err := h.Prepare([]Header{{Name: "x-key", Value: fmt.Sprintf("planted-%d", i)}})
		if err != nil {
			t.Fatal(err)
		}
		apply()
	}
	if n := len(h.set().hide); n > maxHidden+2 {
		t.Errorf("%d texts are kept to be hidden", n)
	}
	if got := other.Message("planted-999 planted-998", ""); got != "*** ***" {
		t.Errorf("says %q", got)
	}
}
