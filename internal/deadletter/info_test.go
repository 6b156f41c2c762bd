package deadletter_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// What somebody else wrote, or what was torn, is told as far as it goes.
func TestWhatIsNoLetterIsTold(t *testing.T) {
	f := func(header, value, want string) {
		t.Helper()
		m := golden(t, "part")
		if m.Header[header] = value; value == "<none>" {
			delete(m.Header, header)
		}
		i, err := deadletter.Decode(queue.Entry{Message: m, Sequence: 5, Size: 7})
		if !errors.Is(err, deadletter.ErrForeign) || i.Problem != err.Error() || !strings.Contains(i.Problem, want) {
			t.Errorf("%s = %q: got %v, want %s", header, value, err, want)
		}
		if i.Sequence != 5 || i.Size != 7 || i.LetterID != m.ID {
			t.Errorf("%s = %q: read %+v", header, value, i)
		}
	}
	f("Penstock-Dead-Reason", "<none>", "Penstock-Dead-Reason is missing")
	f("Penstock-Dead-Destination", "", "Penstock-Dead-Destination is missing")
	f("Penstock-Dead-Stream", "<none>", "Penstock-Dead-Stream is missing")
	f("Penstock-Dead-Sequence", "-1", `Penstock-Dead-Sequence is "-1", want a sequence`)
	f("Penstock-Dead-Attempts", "-1", `Penstock-Dead-Attempts is "-1", want a whole number`)
	f("Penstock-Dead-Redrives", "often", `Penstock-Dead-Redrives is "often", want a whole number`)
	f("Penstock-Dead-Stored-At", "yesterday", `Penstock-Dead-Stored-At is "yesterday", want a time`)
	f("Penstock-Dead-Died-At", "9999-12-31T23:59:59-23:00", "Penstock-Dead-Died-At")
	f("Penstock-Dead-First-At", "", "Penstock-Dead-First-At")
	f("Penstock-Signal", "profiles", `Penstock-Signal: unknown signal "profiles"`)
	f("Penstock-Items", "-1", `Penstock-Items is "-1"`)
	f("Penstock-Raw-Bytes", "<none>", `Penstock-Raw-Bytes is ""`)
	f("Penstock-Min-Time", "soon", `Penstock-Min-Time is "soon", want Unix nanoseconds`)

	i, err := deadletter.Decode(queue.Entry{Message: &queue.Message{}})
	if !errors.Is(err, deadletter.ErrForeign) || i.Items != 0 || !i.StoredAt.IsZero() {
		t.Errorf("of nothing is read %+v, %v", i, err)
	}
	m := golden(t, "part")
	m.Header["Penstock-Max-Time"] = "18446744073709551615"
	if i, err := deadletter.Decode(queue.Entry{Message: m}); err != nil || !i.MaxTime.IsZero() {
		t.Errorf("a time beyond all is %s, %v", i.MaxTime, err)
	}
}

// A damaged message is expected to have damaged headers; those of the letter
// count all the same.
func TestDamageIsNoProblemOfALetter(t *testing.T) {
	m := golden(t, "part")
	maps.Copy(m.Header, map[string]string{"Penstock-Dead-Reason": "damaged", "Penstock-Items": "x", "Penstock-Signal": "", "Penstock-Min-Time": "x"})
	if i, err := deadletter.Decode(queue.Entry{Message: m}); err != nil || i.Problem != "" || i.RawBytes != 10007 {
		t.Errorf("read %+v, %v", i, err)
	}
	m.Header["Penstock-Dead-Attempts"] = "x"
	if i, err := deadletter.Decode(queue.Entry{Message: m}); !errors.Is(err, deadletter.ErrForeign) || i.Problem == "" {
		t.Errorf("read %+v, %v", i, err)
	}
}

// Programs read this: names are kept.
func TestInfoInJSON(t *testing.T) {
	i, err := deadletter.Decode(queue.Entry{Message: golden(t, "part"), Sequence: 5, StoredAt: at("2026-01-02T03:05:07Z"), Size: 2000})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"sequence":5,"letter_id":"dead-backend-PENSTOCK_TRACES_0-17-01JDC0FFEE0000000000000000-p0-19-r1","kept_at":"2026-01-02T03:05:07Z",` +
		`"reason":"expired","code":"INVALID_ARGUMENT","detail":"span 3: no name","destination":"backend","attempts":2,"redrives":1,` +
		`"first_at":"2026-01-02T03:04:06Z","died_at":"2026-01-02T03:05:06Z","id":"01JDC0FFEE0000000000000000","stream":"PENSTOCK_TRACES_0",` +
		`"origin_sequence":17,"stored_at":"2026-01-02T03:04:05.123456789Z","part":"0-19","signal":"traces","tenant":"acme","codec":"s2",` +
		`"items":20,"raw_bytes":10007,"size":2000,"min_time":"2023-11-14T22:13:19Z","max_time":"2023-11-14T22:13:20Z"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFilterPicks(t *testing.T) {
	i := rejected()
	f := func(filter deadletter.Filter, want bool) {
		t.Helper()
		if err := filter.Validate(); err != nil {
			t.Errorf("%+v: %v", filter, err)
		}
		if got := filter.Match(i); got != want {
			t.Errorf("%+v: match is %t", filter, got)
		}
	}
	f(deadletter.Filter{}, true)
	f(deadletter.Filter{Destination: "backend", Reason: "rejected", Code: "INVALID_ARGUMENT", Tenant: "acme", Signal: "traces", Stream: "PENSTOCK_TRACES_0",
		Since: i.KeptAt, Until: i.KeptAt.Add(1), IDs: []string{"x", i.ID}, Sequences: []uint64{1, 5}, UpTo: 5}, true)
	f(deadletter.Filter{Destination: "back"}, false)
	f(deadletter.Filter{Reason: "expired"}, false)
	f(deadletter.Filter{Code: "HTTP 400"}, false)
	f(deadletter.Filter{Tenant: "Acme"}, false)
	f(deadletter.Filter{Signal: "logs"}, false)
	f(deadletter.Filter{Stream: "PENSTOCK_TRACES_1"}, false)
	f(deadletter.Filter{Since: i.KeptAt.Add(1)}, false)
	f(deadletter.Filter{Until: i.KeptAt}, false)
	f(deadletter.Filter{IDs: []string{i.LetterID}}, true)
	f(deadletter.Filter{IDs: []string{"x"}}, false)
	f(deadletter.Filter{Sequences: []uint64{1, 17}}, false)
	f(deadletter.Filter{UpTo: 4}, false)
	i.ID = ""
	f(deadletter.Filter{IDs: []string{""}}, false)
}

func TestFilterIsChecked(t *testing.T) {
	f := func(filter deadletter.Filter, want string) {
		t.Helper()
		if err := filter.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", filter, err, want)
		}
	}
	now := time.Now()
	f(deadletter.Filter{Signal: "trace"}, "unknown signal")
	f(deadletter.Filter{Since: now, Until: now}, "is not before until")
	f(deadletter.Filter{Sequences: []uint64{3, 0}}, "0 is no sequence")
	f(deadletter.Filter{IDs: make([]string, deadletter.MaxNamed+1)}, "10001 letters are named: name at most 10000")
}

func TestEverything(t *testing.T) {
	if !(deadletter.Filter{}).Everything() {
		t.Error("the zero filter picks not all")
	}
	now := time.Now()
	for _, f := range []deadletter.Filter{{Destination: "x"}, {Reason: "x"}, {Code: "x"}, {Tenant: "x"}, {Signal: "x"}, {Stream: "x"},
		{Since: now}, {Until: now}, {IDs: []string{"x"}}, {Sequences: []uint64{1}}, {UpTo: 1}} {
		if f.Everything() {
			t.Errorf("%+v picks all", f)
		}
	}
}

// Whatever lies in the queue: what is told is printable, bounded, and fit for JSON.
func FuzzDecode(f *testing.F) {
	f.Add("dead-a", "rejected", "2", "PENSTOCK_LOGS_0", "17", "2026-01-02T03:05:06Z", "0-19", "logs", "20", "1700000000000000000")
	f.Add("", "", "-1", "\x00\x1b[31m", "x", "0000-01-01T00:00:00+23:59", "é", "profiles", "9223372036854775807", "18446744073709551615")
	f.Fuzz(func(t *testing.T, id, reason, attempts, stream, sequence, died, part, signal, items, event string) {
		m := &queue.Message{ID: id, Header: map[string]string{"Penstock-Dead-Reason": reason, "Penstock-Dead-Attempts": attempts,
			"Penstock-Dead-Stream": stream, "Penstock-Dead-Sequence": sequence, "Penstock-Dead-Died-At": died, "Penstock-Dead-First-At": died,
			"Penstock-Dead-Stored-At": died, "Penstock-Dead-Part": part, "Penstock-Dead-Redrives": attempts, "Penstock-Dead-Destination": part,
			"Penstock-Signal": signal, "Penstock-Items": items, "Penstock-Raw-Bytes": items, "Penstock-Min-Time": event, "Penstock-Max-Time": event}}
		i, err := deadletter.Decode(queue.Entry{Message: m, Sequence: 1, StoredAt: time.Unix(0, 0)})
		if (err == nil) != (i.Problem == "") || err != nil && !errors.Is(err, deadletter.ErrForeign) {
			t.Fatalf("problem %q, error %v", i.Problem, err)
		}
		if i.Attempts < 0 || i.Items < 0 || i.Redrives < 0 || i.RawBytes < 0 {
			t.Fatalf("negative counts: %+v", i)
		}
		b, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 40_000 {
			t.Fatalf("%d bytes of JSON", len(b))
		}
		for _, s := range []string{i.LetterID, i.Reason, i.Stream, i.Part, i.Signal} {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("not printable: %q", s)
			}
		}
		deadletter.Filter{Reason: "x", IDs: []string{"x"}}.Match(i)
	})
}
