package record_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// whole has the body whose CRC-32C every description of it gives.
func whole() *record.Record {
	return &record.Record{ID: "01JG", Signal: otlp.Metrics, Tenant: "acme", Codec: "zstd", Items: 12, RawBytes: 345, MinTime: 6, MaxTime: 7, Body: []byte("123456789")}
}

func TestEncodeWritesTheFormat(t *testing.T) {
	f := func(edit func(*record.Record), want map[string]string) {
		t.Helper()
		r := whole()
		edit(r)
		m := record.Encode(r)
		if m.ID != "01JG" || !maps.Equal(m.Header, want) || &m.Body[0] != &r.Body[0] {
			t.Errorf("got %s %v\nwant %v", m.ID, m.Header, want)
		}
	}
	full := map[string]string{
		"Penstock-Version": "1", "Penstock-Signal": "metrics", "Penstock-Tenant": "acme", "Penstock-Codec": "zstd",
		"Penstock-Items": "12", "Penstock-Raw-Bytes": "345", "Penstock-Crc32c": "e3069283", "Penstock-Min-Time": "6", "Penstock-Max-Time": "7",
	}
	f(func(*record.Record) {}, full)
	bare := maps.Clone(full)
	for _, h := range []string{"Penstock-Tenant", "Penstock-Min-Time", "Penstock-Max-Time"} {
		delete(bare, h)
	}
	f(func(r *record.Record) { r.Tenant, r.MinTime, r.MaxTime = "", 0, 0 }, bare)
	for h := range full {
		if !strings.Contains(strings.Join(record.Headers(), " "), h) {
			t.Errorf("Headers does not name %s", h)
		}
	}
	if len(record.Headers()) != len(full) {
		t.Errorf("Headers names %v", record.Headers())
	}
}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	f := func(edit func(*record.Record)) {
		t.Helper()
		want := whole()
		edit(want)
		m := record.Encode(want)
		got, err := record.Decode(m)
		if err != nil || !reflect.DeepEqual(got, want) || len(m.Body) > 0 && &got.Body[0] != &m.Body[0] {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	f(func(*record.Record) {})
	f(func(r *record.Record) { r.Tenant = "" })
	f(func(r *record.Record) { r.MinTime, r.MaxTime = 0, 0 })
	f(func(r *record.Record) { r.MaxTime = 1<<64 - 1 })
	f(func(r *record.Record) { r.Body = nil })
	f(func(r *record.Record) { r.Items, r.RawBytes = 0, 0 })
	for _, c := range []string{"none", "s2", "zstd", "gzip", "br"} {
		f(func(r *record.Record) { r.Codec = c })
	}
	for _, s := range otlp.Signals {
		f(func(r *record.Record) { r.Signal = s })
	}
}

// Each damage is an error that names the header, and leaves what can be read
// for the dead-letter stream.
func TestDamageIsNamed(t *testing.T) {
	f := func(header, value, want string) {
		t.Helper()
		m := record.Encode(whole())
		if value == "<none>" {
			delete(m.Header, header)
		} else {
			m.Header[header] = value
		}
		r, err := record.Decode(m)
		if !errors.Is(err, record.ErrDamaged) || errors.Is(err, record.ErrNewer) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %q: got %v\nwant %s", header, value, err, want)
		}
		if r == nil || r.ID != "01JG" || !bytes.Equal(r.Body, m.Body) || r.Items < 0 || r.RawBytes < 0 {
			t.Errorf("%s = %q: read %+v", header, value, r)
		}
	}
	f("Penstock-Version", "<none>", `Penstock-Version is "", want a whole number`)
	f("Penstock-Version", "one", `Penstock-Version is "one", want a whole number`)
	f("Penstock-Version", "0", `Penstock-Version is "0", want 1 to 1`)
	f("Penstock-Version", "-1", `Penstock-Version is "-1", want a whole number`)
	f("Penstock-Signal", "<none>", `Penstock-Signal: unknown signal ""`)
	f("Penstock-Signal", "profiles", `Penstock-Signal: unknown signal "profiles"`)
	f("Penstock-Codec", "<none>", `Penstock-Codec is "", want one of none, s2, zstd, gzip, br`)
	f("Penstock-Codec", "snappy", `Penstock-Codec is "snappy"`)
	f("Penstock-Items", "<none>", `Penstock-Items is ""`)
	f("Penstock-Items", "1e3", `Penstock-Items is "1e3", want a whole number`)
	f("Penstock-Items", "-1", `Penstock-Items is "-1"`)
	f("Penstock-Raw-Bytes", "99999999999999999999", `Penstock-Raw-Bytes is "99999999999999999999"`)
	f("Penstock-Crc32c", "<none>", `checksum of 9 body bytes is e3069283 and Penstock-Crc32c is ""`)
	f("Penstock-Crc32c", "00000000", `checksum of 9 body bytes is e3069283 and Penstock-Crc32c is "00000000"`)
	f("Penstock-Min-Time", "soon", `Penstock-Min-Time is "soon", want Unix nanoseconds`)
	f("Penstock-Max-Time", "-7", `Penstock-Max-Time is "-7", want Unix nanoseconds`)
}

func TestDamagedBodyIsFound(t *testing.T) {
	for i := range whole().Body {
		for bit := range 8 {
			m := record.Encode(whole())
			m.Body = bytes.Clone(m.Body)
			m.Body[i] ^= 1 << bit
			if _, err := record.Decode(m); !errors.Is(err, record.ErrDamaged) {
				t.Errorf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
}

// A message of a version to come is whole: it is not to be buried.
func TestNewerVersionIsNoDamage(t *testing.T) {
	m := record.Encode(whole())
	m.Header["Penstock-Version"] = "2"
	delete(m.Header, "Penstock-Codec") // whatever version 2 does
	_, err := record.Decode(m)
	if !errors.Is(err, record.ErrNewer) || errors.Is(err, record.ErrDamaged) ||
		err.Error() != "message is of a newer version: Penstock-Version is 2 and this program reads up to 1: upgrade it" {
		t.Errorf("got %v", err)
	}
}

func TestEventTimes(t *testing.T) {
	first, last := whole().EventTimes()
	if !first.Equal(time.Unix(0, 6)) || !last.Equal(time.Unix(0, 7)) {
		t.Errorf("got %s and %s", first, last)
	}
	first, last = (&record.Record{}).EventTimes()
	if !first.IsZero() || !last.IsZero() {
		t.Errorf("unknown times are %s and %s", first, last)
	}
}

// The page is the promise: it names every header and every codec.
func TestFormatIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/message-format.md")
	if err != nil {
		t.Fatal(err)
	}
	words := append(append(record.Headers(), deadletter.Headers()...), "none", "s2", "zstd", "gzip", "br", "Nats-Msg-Id",
		deadletter.ReasonDamaged, deadletter.ReasonRejected, deadletter.ReasonTooLarge)
	for _, word := range words {
		if !bytes.Contains(page, []byte("`"+word+"`")) {
			t.Errorf("docs/reference/message-format.md does not name `%s`", word)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("1", "metrics", "zstd", "12", "345", "e3069283", "6", "7", []byte("123456789"))
	f.Add("2", "logs", "none", "0", "0", "00000000", "", "", []byte(nil))
	f.Add("-1", "", "", "+1", "0x10", "E3069283", "1", "18446744073709551616", []byte("123456789"))
	f.Fuzz(func(t *testing.T, version, signal, codec, items, raw, crc, first, last string, body []byte) {
		m := &queue.Message{ID: "id", Body: body, Header: map[string]string{"Penstock-Version": version, "Penstock-Signal": signal,
			"Penstock-Codec": codec, "Penstock-Items": items, "Penstock-Raw-Bytes": raw, "Penstock-Crc32c": crc,
			"Penstock-Min-Time": first, "Penstock-Max-Time": last}}
		r, err := record.Decode(m)
		if r == nil || r.Items < 0 || r.RawBytes < 0 || !bytes.Equal(r.Body, body) {
			t.Fatalf("read %+v", r)
		}
		if err != nil {
			if errors.Is(err, record.ErrDamaged) == errors.Is(err, record.ErrNewer) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		// What decodes is a fixed point, but for a time that is not known.
		again, err := record.Decode(record.Encode(r))
		if r.MaxTime == 0 {
			r.MinTime = 0
		}
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	r := whole()
	r.Body = make([]byte, 512<<10)
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	for b.Loop() {
		record.Encode(r)
	}
}

func BenchmarkDecode(b *testing.B) {
	r := whole()
	r.Body = make([]byte, 512<<10)
	m := record.Encode(r)
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := record.Decode(m); err != nil {
			b.Fatal(err)
		}
	}
}
