package record_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// write makes the messages of a version that has none yet. Those of a released
// version are never made again: no later program may fail to read them (I7).
var write = flag.Bool("write-golden", false, "write testdata of a new version of the format")

func dir(version int) string { return filepath.Join("testdata", fmt.Sprintf("v%d", version)) }

var goldenCodecs = []string{codec.None, codec.S2, codec.Zstd, codec.Gzip, codec.Brotli}

func TestWriteGolden(t *testing.T) {
	at := dir(record.Version)
	if _, err := os.Stat(at); err == nil && *write {
		t.Fatalf("%s exists: messages of a version are written once", at)
	} else if !*write && err != nil {
		t.Fatalf("version %d has no messages: run go test -run TestWriteGolden -write-golden", record.Version)
	} else if !*write {
		return
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	raw := sample.New(1, sample.Shape{}).Append(nil, otlp.Traces, 20, time.Unix(1_700_000_000, 0))
	files := map[string][]byte{"payload.pb": raw}
	for _, name := range goldenCodecs {
		enc, err := codec.NewEncoder(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		body, err := enc.Append(nil, raw)
		if err != nil {
			t.Fatal(err)
		}
		m := record.Encode(&record.Record{ID: "01JDC0FFEE0000000000000000", Signal: otlp.Traces, Tenant: "acme", Codec: name, Items: 20,
			RawBytes: len(raw), MinTime: 1_699_999_999_000_000_000, MaxTime: 1_700_000_000_000_000_000, Body: body})
		lines := []string{"Nats-Msg-Id: " + m.ID}
		for k, v := range m.Header {
			lines = append(lines, k+": "+v)
		}
		slices.Sort(lines)
		files[name+".headers"], files[name+".body"] = []byte(strings.Join(lines, "\n")+"\n"), body
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// read is a message as it lies in testdata.
func read(t *testing.T, at, name string) *queue.Message {
	t.Helper()
	headers, err := os.ReadFile(filepath.Join(at, name+".headers"))
	if err != nil {
		t.Fatal(err)
	}
	m := &queue.Message{Header: map[string]string{}}
	for s := bufio.NewScanner(bytes.NewReader(headers)); s.Scan(); {
		k, v, ok := strings.Cut(s.Text(), ": ")
		switch {
		case !ok:
			t.Fatalf("%s.headers: %q", name, s.Text())
		case k == "Nats-Msg-Id":
			m.ID = v
		default:
			m.Header[k] = v
		}
	}
	if m.Body, err = os.ReadFile(filepath.Join(at, name+".body")); err != nil {
		t.Fatal(err)
	}
	return m
}

// Messages of every version that was ever written are read for ever (I7).
func TestGoldenMessagesAreRead(t *testing.T) {
	at := dir(1)
	raw, err := os.ReadFile(filepath.Join(at, "payload.pb"))
	if err != nil {
		t.Fatal(err)
	}
	var request coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &request); err != nil {
		t.Fatal(err)
	}
	for _, name := range goldenCodecs {
		r, err := record.Decode(read(t, at, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, err := codec.Decode(nil, r.Codec, r.Body, r.RawBytes)
		if err != nil || !bytes.Equal(body, raw) {
			t.Errorf("%s: the payload is not what was written (%v)", name, err)
		}
		r.Body = nil
		want := record.Record{ID: "01JDC0FFEE0000000000000000", Signal: otlp.Traces, Tenant: "acme", Codec: name, Items: 20, RawBytes: len(raw),
			MinTime: 1_699_999_999_000_000_000, MaxTime: 1_700_000_000_000_000_000}
		if fmt.Sprintf("%+v", *r) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: read %+v, want %+v", name, *r, want)
		}
	}
}
