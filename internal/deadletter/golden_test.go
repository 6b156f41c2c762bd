package deadletter_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// golden reads a letter from testdata. Files there are never changed: letters
// of every version that was ever written are read for ever (I7).
func golden(t testing.TB, name string) *queue.Message {
	t.Helper()
	at := filepath.Join("testdata", "v1", name)
	headers, err := os.ReadFile(at + ".headers")
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
	if m.Body, err = os.ReadFile(at + ".body"); err != nil {
		t.Fatal(err)
	}
	return m
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

// rejected is the letter of testdata/v1/rejected.headers, which was written
// before there were parts and redrives.
func rejected() deadletter.Info {
	return deadletter.Info{Sequence: 5, LetterID: "dead-backend-PENSTOCK_TRACES_0-17-01JDC0FFEE0000000000000000", KeptAt: at("2026-01-02T03:05:07Z"),
		Reason: "rejected", Code: "INVALID_ARGUMENT", Detail: "span 3: no name", Destination: "backend", Attempts: 2, DiedAt: at("2026-01-02T03:05:06Z"),
		ID: "01JDC0FFEE0000000000000000", Stream: "PENSTOCK_TRACES_0", OriginSequence: 17, StoredAt: at("2026-01-02T03:04:05.123456789Z"),
		Signal: "traces", Tenant: "acme", Codec: "s2", Items: 20, RawBytes: 10007, Size: 2000,
		MinTime: time.Unix(1_699_999_999, 0).UTC(), MaxTime: time.Unix(1_700_000_000, 0).UTC()}
}

func TestGoldenLettersAreRead(t *testing.T) {
	f := func(name string, want deadletter.Info) {
		t.Helper()
		m := golden(t, name)
		got, err := deadletter.Decode(queue.Entry{Message: m, Sequence: 5, StoredAt: at("2026-01-02T03:05:07Z"), Size: 2000})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read\n%+v, %v\nwant\n%+v", name, got, err, want)
		}
	}
	f("rejected", rejected())
	part := rejected()
	part.LetterID += "-p0-19-r1"
	part.Reason, part.FirstAt, part.Part, part.Redrives = "expired", at("2026-01-02T03:04:06Z"), "0-19", 1
	f("part", part)
	f("damaged", deadletter.Info{Sequence: 5, LetterID: "dead-backend-PENSTOCK_TRACES_0-17", KeptAt: at("2026-01-02T03:05:07Z"), Size: 2000,
		Reason: "damaged", Detail: `message is damaged: Penstock-Version is "", want a whole number`, Destination: "backend", Attempts: 1,
		DiedAt: at("2026-01-02T03:05:06Z"), Stream: "PENSTOCK_TRACES_0", OriginSequence: 17, StoredAt: at("2026-01-02T03:04:05.123456789Z")})
}

func TestGoldenLettersAreShown(t *testing.T) {
	q := memory.New()
	dead(t, q)
	for _, name := range []string{"rejected", "damaged"} {
		if _, err := q.Publish(t.Context(), "DEAD", golden(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := deadletter.Show(t.Context(), q, "DEAD", 1, true)
	if err != nil || s.Undecoded != "" || s.Headers != nil || s.Body != nil || s.ShownItems != 20 || s.Destination != "backend" {
		t.Fatalf("shown is %+v, %v", s, err)
	}
	raw, err := os.ReadFile("../record/testdata/v1/payload.pb")
	if err != nil {
		t.Fatal(err)
	}
	if want, err := otlp.AppendJSONFromProto(nil, otlp.Traces, raw); err != nil || !bytes.Equal(s.Payload, want) {
		t.Errorf("the payload is not the one that was written (%v):\n%s", err, s.Payload)
	}
	s, err = deadletter.Show(t.Context(), q, "DEAD", 2, true)
	if err != nil || s.Payload != nil || string(s.Body) != "\x00\x01no payload" || s.BodyShort || s.Headers["Other"] != "x" ||
		!strings.Contains(s.Undecoded, "Penstock-Version") {
		t.Errorf("shown is %+v, %v", s, err)
	}
	if _, err := json.Marshal(s); err != nil {
		t.Error(err)
	}
}
