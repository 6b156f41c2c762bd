package deadletter_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// setup makes a stream with one message, a reader that holds it, and a place
// for the dead.
func setup(t *testing.T, q queue.Queue, m *queue.Message) queue.Delivery {
	t.Helper()
	for _, err := range []error{
		q.EnsureStream(t.Context(), queue.StreamConfig{Name: "LIVE", MaxBytes: 1 << 20}),
		q.EnsureStream(t.Context(), queue.StreamConfig{Name: "DEAD", MaxBytes: 1 << 20}),
		q.EnsureConsumer(t.Context(), "LIVE", queue.ConsumerConfig{Name: "c"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Publish(t.Context(), "LIVE", m); err != nil {
		t.Fatal(err)
	}
	c, err := q.Consume(t.Context(), "LIVE", "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // always nil
	d, err := c.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func get(t *testing.T, q queue.Queue, seq uint64) *queue.Message {
	t.Helper()
	m, _, err := q.Get(t.Context(), "DEAD", seq)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func realQueue(t *testing.T) queue.Queue {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	t.Cleanup(func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return q
}

func TestKeepsTheMessageAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		stored := time.Now()
		m := &queue.Message{ID: "01ABC", Header: map[string]string{"Penstock-Signal": "logs", "Other": "x"}, Body: []byte("payload")}
		d := setup(t, q, m)
		time.Sleep(time.Second + 5)
		err := deadletter.PublishRaw(t.Context(), q, "DEAD", deadletter.OriginOf(d), d.Message(), deadletter.Letter{Reason: deadletter.ReasonRejected, Code: "INVALID_ARGUMENT", Detail: "no", Destination: "backend"})
		if err != nil {
			t.Fatal(err)
		}
		got := get(t, q, 1)
		want := map[string]string{
			"Penstock-Signal": "logs", "Other": "x",
			"Penstock-Dead-Reason": "rejected", "Penstock-Dead-Code": "INVALID_ARGUMENT", "Penstock-Dead-Detail": "no",
			"Penstock-Dead-Id": "01ABC", "Penstock-Dead-Destination": "backend", "Penstock-Dead-Attempts": "1",
			"Penstock-Dead-Stream": "LIVE", "Penstock-Dead-Sequence": "1",
			"Penstock-Dead-Stored-At": stored.UTC().Format(time.RFC3339Nano), "Penstock-Dead-Died-At": "2000-01-01T00:00:01.000000005Z",
		}
		if !maps.Equal(got.Header, want) || !bytes.Equal(got.Body, m.Body) {
			t.Errorf("got\n%v\nwant\n%v", got.Header, want)
		}
		if m.Header[deadletter.HeaderReason] != "" || d.Message().Header[deadletter.HeaderReason] != "" {
			t.Error("the delivery's own message was changed")
		}
	})
}

// A letter of a part has the headers of the part, and says which it is.
func TestPartOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		first := time.Now()
		whole := &record.Record{ID: "01ABC", Signal: otlp.Logs, Tenant: "acme", Codec: "none", Items: 9, RawBytes: 7, MinTime: 1, MaxTime: 9, Body: []byte("payload")}
		d := setup(t, q, record.Encode(whole))
		time.Sleep(time.Second)
		items := &record.Record{ID: "01ABC", Signal: otlp.Logs, Tenant: "acme", Codec: "none", Items: 2, RawBytes: 3, MinTime: 4, MaxTime: 5, Body: []byte("pay")}
		l := deadletter.Letter{Reason: deadletter.ReasonExpired, Destination: "backend", FirstAt: first, Redrives: 2}
		if err := deadletter.Publish(t.Context(), q, "DEAD", deadletter.OriginOf(d), items, deadletter.Part("", 3, 2), l); err != nil {
			t.Fatal(err)
		}
		got := get(t, q, 1)
		want := record.Encode(items)
		maps.Copy(want.Header, map[string]string{
			"Penstock-Dead-Reason": "expired", "Penstock-Dead-Id": "01ABC", "Penstock-Dead-Destination": "backend", "Penstock-Dead-Attempts": "1",
			"Penstock-Dead-Stream": "LIVE", "Penstock-Dead-Sequence": "1", "Penstock-Dead-Part": "3-4", "Penstock-Dead-Redrives": "2",
			"Penstock-Dead-Stored-At": "2000-01-01T00:00:00Z", "Penstock-Dead-First-At": "2000-01-01T00:00:00Z", "Penstock-Dead-Died-At": "2000-01-01T00:00:01Z"})
		if got.ID != "dead-backend-LIVE-1-01ABC-p3-4-r2" || !maps.Equal(got.Header, want.Header) || string(got.Body) != "pay" {
			t.Errorf("got %s\n%v\nwant\n%v", got.ID, got.Header, want.Header)
		}
		if _, err := record.Decode(got); err != nil {
			t.Errorf("the letter is no whole record: %v", err)
		}
	})
}

func TestPartsAreOfTheWholeMessage(t *testing.T) {
	f := func(within string, first, n int, want string) {
		t.Helper()
		got := deadletter.Part(within, first, n)
		if got != want {
			t.Errorf("items %d of %q: %q, want %q", first, within, got, want)
		}
	}
	f("", 0, 1, "0-0")
	f("", 120, 2, "120-121")
	f("120-121", 1, 1, "121-121")
	f("of another", 1, 2, "of another/1-2")
	for _, none := range []string{"", "1", "1-", "-1", "2-1", "a-b", "1-x", "9999999999999999999-9999999999999999999"} {
		if first, last, ok := deadletter.ParsePart(none); ok {
			t.Errorf("%q is the part %d to %d", none, first, last)
		}
	}
}

// The id is one for each message and destination, for ever: what is published
// twice after a lost answer is stored once.
func TestRepetitionStoresNothing(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t)} {
		t.Run(name, func(t *testing.T) {
			d := setup(t, q, &queue.Message{ID: "01ABC", Body: []byte("x")})
			f := func(destination string, wantStored uint64) {
				t.Helper()
				if err := deadletter.PublishRaw(t.Context(), q, "DEAD", deadletter.OriginOf(d), d.Message(), deadletter.Letter{Reason: "rejected", Destination: destination}); err != nil {
					t.Fatal(err)
				}
				if st, err := q.StreamState(t.Context(), "DEAD"); err != nil || st.Messages != wantStored {
					t.Errorf("%d stored (%v), want %d", st.Messages, err, wantStored)
				}
			}
			f("a", 1)
			f("a", 1)
			f("b", 2)
			f("a", 2)
			f("b", 2)
			part := func(part string, redrives int, wantStored uint64) {
				t.Helper()
				l := deadletter.Letter{Reason: "rejected", Destination: "a", Redrives: redrives}
				if err := deadletter.Publish(t.Context(), q, "DEAD", deadletter.OriginOf(d), &record.Record{Codec: "none"}, part, l); err != nil {
					t.Fatal(err)
				}
				if st, err := q.StreamState(t.Context(), "DEAD"); err != nil || st.Messages != wantStored {
					t.Errorf("%d stored (%v), want %d", st.Messages, err, wantStored)
				}
			}
			part("", 0, 2)
			part("0-0", 0, 3)
			part("0-0", 0, 3)
			part("1-1", 0, 4)
			part("1-1", 1, 5)
			part("1-1", 1, 5)
			part("", 1, 6)
			if got, want := get(t, q, 1).ID, "dead-a-LIVE-1-01ABC"; got != want {
				t.Errorf("id is %s, want %s", got, want)
			}
		})
	}
}

// bare is a delivery of whatever somebody put into the stream.
type bare struct {
	queue.Delivery
	m *queue.Message
}

func (b bare) Message() *queue.Message { return b.m }

// What another program wrote, the queue may refuse as it is: it is dead-lettered
// all the same, or it would come again for ever.
func TestForeignHeadersAreMadeFit(t *testing.T) {
	q := realQueue(t)
	d := setup(t, q, &queue.Message{ID: "x", Body: []byte("x")})
	f := func(m *queue.Message, want map[string]string) {
		t.Helper()
		d := bare{d, m}
		err := deadletter.PublishRaw(t.Context(), q, "DEAD", deadletter.OriginOf(d), d.Message(), deadletter.Letter{
			Reason: deadletter.ReasonDamaged, Destination: "d", Detail: strings.Repeat("ö\n", 1000) + "x", Code: strings.Repeat("C", 100)})
		if err != nil {
			t.Fatal(err)
		}
		st, err := q.StreamState(t.Context(), "DEAD")
		if err != nil {
			t.Fatal(err)
		}
		got := get(t, q, st.LastSeq)
		if len(got.Header[deadletter.HeaderDetail]) > 512 || len(got.Header[deadletter.HeaderCode]) != 64 {
			t.Errorf("detail and code are not shortened: %v", got.Header)
		}
		for _, h := range deadletter.Headers() {
			delete(got.Header, h)
		}
		if !maps.Equal(got.Header, want) || !bytes.Equal(got.Body, m.Body) {
			t.Errorf("got %q, want %q", got.Header, want)
		}
	}
	f(&queue.Message{Body: []byte("no id, no headers")}, map[string]string{})
	f(&queue.Message{ID: "ä b\r\n", Body: []byte{0, 1, 2}, Header: map[string]string{
		"Fine": "ok", "Spaced": "  a\tb ", "Accent": "é", "Bad:Name": "x", "Bad Name": "x", "": "x", "Status": "503", "Description": "x", "Ünicode": "x"}},
		map[string]string{"Fine": "ok", "Spaced": "a b", "Accent": ""})
}

// The words of the destination are worth less than the payload.
func TestDetailGivesWayToThePayload(t *testing.T) {
	q := memory.New(memory.WithMaxMessageBytes(1000))
	d := setup(t, q, &queue.Message{ID: "x", Body: make([]byte, 600)})
	l := deadletter.Letter{Reason: deadletter.ReasonRejected, Detail: strings.Repeat("d", 500), Destination: "a"}
	if err := deadletter.PublishRaw(t.Context(), q, "DEAD", deadletter.OriginOf(d), d.Message(), l); err != nil {
		t.Fatal(err)
	}
	if m := get(t, q, 1); len(m.Body) != 600 || m.Header[deadletter.HeaderDetail] != "" || m.Header[deadletter.HeaderReason] != "rejected" {
		t.Errorf("got %d bytes and %v", len(m.Body), m.Header)
	}
	d = bare{d, &queue.Message{ID: "y", Body: make([]byte, 999)}}
	if err := deadletter.PublishRaw(t.Context(), q, "DEAD", deadletter.OriginOf(d), d.Message(), l); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestFailureNamesTheMessage(t *testing.T) {
	q := memory.New()
	d := setup(t, q, &queue.Message{ID: "x", Body: []byte("x")})
	err := deadletter.PublishRaw(t.Context(), q, "NONE", deadletter.OriginOf(d), d.Message(), deadletter.Letter{Reason: "rejected", Destination: "a"})
	if !errors.Is(err, queue.ErrNotFound) || !strings.HasPrefix(err.Error(), "dead-letter message 1 of LIVE: ") {
		t.Errorf("got %v", err)
	}
	err = deadletter.Publish(t.Context(), q, "NONE", deadletter.OriginOf(d), &record.Record{}, "3-4", deadletter.Letter{})
	if !errors.Is(err, queue.ErrNotFound) || !strings.HasPrefix(err.Error(), "dead-letter items 3-4 of message 1 of LIVE: ") {
		t.Errorf("got %v", err)
	}
}

// The names are part of the message format.
func TestNamesArePromised(t *testing.T) {
	want := []string{"Penstock-Dead-Reason", "Penstock-Dead-Code", "Penstock-Dead-Detail", "Penstock-Dead-Id", "Penstock-Dead-Destination",
		"Penstock-Dead-Attempts", "Penstock-Dead-Stream", "Penstock-Dead-Sequence", "Penstock-Dead-Stored-At", "Penstock-Dead-Died-At",
		"Penstock-Dead-First-At", "Penstock-Dead-Part", "Penstock-Dead-Redrives"}
	if !slices.Equal(deadletter.Headers(), want) {
		t.Errorf("headers are %v", deadletter.Headers())
	}
	if deadletter.ReasonDamaged != "damaged" || deadletter.ReasonRejected != "rejected" || deadletter.ReasonTooLarge != "too_large" || deadletter.ReasonExpired != "expired" {
		t.Error("a reason was renamed")
	}
}
