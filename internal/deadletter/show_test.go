package deadletter_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// logs makes a request of n records with texts of size bytes.
func logs(t testing.TB, n, size int) []byte {
	t.Helper()
	l := plog.NewLogs()
	records := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		records.AppendEmpty().Body().SetStr(fmt.Sprint(i) + strings.Repeat(".", size))
	}
	b, err := plogotlp.NewExportRequestFromLogs(l).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keep stores a letter with a payload.
func keep(t testing.TB, q queue.Queue, name string, raw []byte, items int) uint64 {
	t.Helper()
	c, err := codec.NewEncoder(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Append(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	r := &record.Record{Signal: otlp.Logs, Codec: name, Items: items, RawBytes: len(raw), Body: body}
	o := deadletter.Origin{Stream: "PENSTOCK_LOGS_0", Sequence: 1, ID: t.Name() + name + fmt.Sprint(len(raw))}
	if err := deadletter.Publish(t.Context(), q, "DEAD", o, r, "", deadletter.Letter{Reason: "rejected", Destination: "backend"}); err != nil {
		t.Fatal(err)
	}
	st, err := q.StreamState(t.Context(), "DEAD")
	if err != nil {
		t.Fatal(err)
	}
	return st.LastSeq
}

func show(t testing.TB, q queue.Queue, seq uint64) deadletter.Shown {
	t.Helper()
	s, err := deadletter.Show(t.Context(), q, "DEAD", seq, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(s); err != nil {
		t.Error(err)
	}
	return s
}

func TestShowEveryCodec(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		for _, name := range []string{"none", "s2", "zstd", "gzip", "br"} {
			s := show(t, q, keep(t, q, name, logs(t, 2, 3), 2))
			want := `{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[{"body":{"stringValue":"0..."}},{"body":{"stringValue":"1..."}}]}]}]}`
			if string(s.Payload) != want || s.ShownItems != 2 || s.Undecoded != "" || s.Codec != name {
				t.Errorf("%s: shown is %s, %+v", name, s.Payload, s)
			}
		}
		s, err := deadletter.Show(t.Context(), q, "DEAD", 1, false)
		if err != nil || s.Payload != nil || s.Headers != nil || s.Items != 2 {
			t.Errorf("without payload: %+v, %v", s, err)
		}
	})
}

// Of a large letter the first items are shown.
func TestShowIsBounded(t *testing.T) {
	q := memory.New()
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: "DEAD", MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	s := show(t, q, keep(t, q, "s2", logs(t, 12, 1<<20), 12))
	if s.ShownItems != 3 || s.Items != 12 || strings.Count(string(s.Payload), "stringValue") != 3 || s.Undecoded != "" {
		t.Errorf("%d items of %d shown in %d bytes: %s", s.ShownItems, s.Items, len(s.Payload), s.Undecoded)
	}
	s = show(t, q, keep(t, q, "s2", logs(t, 1, 5<<20), 1))
	if s.Payload != nil || !strings.HasPrefix(s.Undecoded, "the first item has 5242") || len(s.Body) == 0 || s.Headers["Penstock-Items"] != "1" {
		t.Errorf("shown is %+v", s)
	}
	claim := record.Encode(&record.Record{Signal: otlp.Logs, Codec: "s2", RawBytes: 64<<20 + 1})
	if err := deadletter.PublishRaw(t.Context(), q, "DEAD", deadletter.Origin{}, claim, deadletter.Letter{Reason: "rejected"}); err != nil {
		t.Fatal(err)
	}
	s = show(t, q, 3)
	if s.Payload != nil || s.Undecoded != "the payload is 67108865 bytes decompressed: up to 67108864 are read" {
		t.Errorf("shown is %+v", s)
	}
}

// What cannot be decoded is shown as it is.
func TestShowOfWhatIsBroken(t *testing.T) {
	q := memory.New()
	dead(t, q)
	f := func(edit func(*record.Record), want string) {
		t.Helper()
		r := &record.Record{Signal: otlp.Logs, Codec: "none", Body: bytes.Repeat([]byte{0xff}, 5000), RawBytes: 5000}
		edit(r)
		m := record.Encode(r)
		m.ID = want
		if _, err := q.Publish(t.Context(), "DEAD", m); err != nil {
			t.Fatal(err)
		}
		st, err := q.StreamState(t.Context(), "DEAD")
		if err != nil {
			t.Fatal(err)
		}
		s := show(t, q, st.LastSeq)
		if s.Payload != nil || !strings.Contains(s.Undecoded, want) || !bytes.Equal(s.Body, r.Body[:min(len(r.Body), 4096)]) || s.BodyShort != (len(r.Body) > 4096) || s.Headers["Penstock-Signal"] != "logs" {
			t.Errorf("shown is %q with %d bytes of body and headers %v, want %s", s.Undecoded, len(s.Body), s.Headers, want)
		}
	}
	f(func(*record.Record) {}, "request: tag is a varint")
	f(func(r *record.Record) { r.Codec, r.RawBytes = "zstd", 1<<20 }, "zstd")
	f(func(r *record.Record) { r.RawBytes = 4999 }, "4999")
	f(func(r *record.Record) { r.Codec = "lzma" }, "Penstock-Codec")
	f(func(r *record.Record) { r.Items = -1; r.Body = r.Body[:5] }, "Penstock-Items")
	f(func(r *record.Record) { // a trace id of 1 byte, which pdata does not take
		r.Body = []byte{0x0a, 7, 0x12, 5, 0x12, 3, 0x4a, 1, 1}
		r.RawBytes = len(r.Body)
	}, "protobuf cannot be decoded")
}

func TestShowOfNothing(t *testing.T) {
	q := &faulty{Queue: memory.New(), fails: map[string]int{}}
	dead(t, q)
	if _, err := deadletter.Show(t.Context(), q, "DEAD", 7, true); !errors.Is(err, queue.ErrNotFound) || !strings.HasPrefix(err.Error(), "dead letter 7: ") {
		t.Errorf("got %v", err)
	}
	q.fails["get"] = 0
	if _, err := deadletter.Show(t.Context(), q, "DEAD", 7, true); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func FuzzShow(f *testing.F) {
	f.Add("logs", "none", 4, []byte("\x0a\x02\x12\x00"))
	f.Add("metrics", "zstd", 1<<30, []byte("\x28\xb5\x2f\xfd"))
	f.Add("traces", "s2", 100, []byte("\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, signal, name string, raw int, body []byte) {
		q := memory.New()
		dead(t, q)
		s, err := otlp.ParseSignal(signal)
		if err != nil {
			s = otlp.Logs
		}
		m := record.Encode(&record.Record{Signal: s, Codec: name, RawBytes: raw, Body: body})
		m.ID, m.Header["Penstock-Signal"] = "x", signal
		if _, err := q.Publish(t.Context(), "DEAD", m); err != nil {
			return // larger than the queue takes
		}
		if shown := show(t, q, 1); (shown.Payload == nil) != (shown.Undecoded != "") {
			t.Fatalf("payload %q and undecoded %q", shown.Payload, shown.Undecoded)
		}
	})
}

// What a payload holds gives no orders to a terminal, and means what it meant.
func TestShownPayloadsAreSafeToPrint(t *testing.T) {
	q := memory.New()
	dead(t, q)
	const evil = "ü \x1b[2J \u009b31m \u202e \u2028 \x7f \U000e0041 \ufffd 😀"
	l := plog.NewLogs()
	l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(evil)
	raw, err := plogotlp.NewExportRequestFromLogs(l).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	s := show(t, q, keep(t, q, codec.None, raw, 1))
	if got := bytes.IndexAny(s.Payload, "\x1b\x7f\u009b\u202e\u2028\U000e0041"); got >= 0 || !bytes.Contains(s.Payload, []byte("😀")) {
		t.Errorf("payload has an order at %d: %q", got, s.Payload)
	}
	back := plogotlp.NewExportRequest()
	if err := back.UnmarshalJSON(s.Payload); err != nil {
		t.Fatal(err)
	}
	if got := back.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().Str(); got != evil {
		t.Errorf("got %q, want %q", got, evil)
	}
}
