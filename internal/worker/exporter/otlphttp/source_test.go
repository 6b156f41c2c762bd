package otlphttp

import (
	"errors"
	"io"
	"testing"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

func TestSourceStartsOverUntilDetached(t *testing.T) {
	s := source{data: []byte("body")}
	first := s.reader()
	second, err := s.again()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []io.Reader{first, second} {
		if b, err := io.ReadAll(r); string(b) != "body" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	third := s.reader()
	s.detach()
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, errDetached) {
		t.Errorf("after detach: %v", err)
	}
}

// BenchmarkExport is one call after the other, with a server that drops what it
// gets, in the same process.
func BenchmarkExport(b *testing.B) {
	s := serve(b, false)
	say(200, protobuf, "")(s)
	x := newExporter(b, Config{Endpoints: []string{s.url()}, Compression: "zstd"})
	defer x.Close()
	raw := exportertest.Body(otlp.Traces, 1, 2000)
	r := exportertest.Request(b, otlp.Traces, "zstd", raw)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Export(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
