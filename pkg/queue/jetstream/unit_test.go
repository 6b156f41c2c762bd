package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

func TestValidate(t *testing.T) {
	in := connOnly{}
	for _, c := range []struct {
		c    Config
		want string // "": valid
	}{
		{Config{Conn: in}, ""},
		{Config{URL: "h:4222, tls://user:pw@h2:4222"}, ""},
		{Config{}, "neither"},
		{Config{Conn: in, URL: "nats://h"}, "both"},
		{Config{URL: " "}, "neither a url"},
		{Config{URL: ","}, "no address"},
		{Config{URL: "http://h"}, `scheme "http"`},
		{Config{URL: "nats://user:hunter2@h:bad"}, "number 1"},
		{Config{URL: "h", Durability: "eventually"}, `"eventually"`},
		{Config{URL: "h", Durability: Replicated}, ""},
		{Config{URL: "h", Durability: Replicated, Replicas: 2}, "at least 3"},
		{Config{Conn: in, Durability: Replicated}, "external cluster"},
		{Config{URL: "h", Replicas: 6}, "1 to 5"},
		{Config{Conn: in, Replicas: 3}, "cannot hold 3"},
		{Config{URL: "h", Token: "a", User: "b"}, "more than one"},
		{Config{URL: "h", MonitorURLs: []string{"nats://h"}}, "monitor url"},
		{Config{Conn: in, MaxInFlightBytes: -1}, "in flight"},
		{Config{Conn: in, PublishTimeout: -1}, "negative"},
		{Config{Conn: in, PublishConnections: 65}, "1 to 64"},
	} {
		err := c.c.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.c, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password is told: %v", err)
		}
	}
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("opened without anything")
	}
}

func TestSubject(t *testing.T) {
	for stream, want := range map[string]string{"PENSTOCK_TRACES_0": "penstock.traces.0", "PENSTOCK_DLQ": "penstock.dlq", "A-B_1": "a-b.1"} {
		if got := Subject(stream); got != want {
			t.Errorf("%s: %s, want %s", stream, got, want)
		}
	}
}

func TestClassify(t *testing.T) {
	api := func(code jetstream.ErrorCode, text string) error {
		return fmt.Errorf("wrapped: %w", &jetstream.APIError{ErrorCode: code, Description: text})
	}
	for _, c := range []struct{ err, want error }{
		{api(10077, "maximum bytes exceeded"), queue.ErrFull},
		{api(10077, "maximum messages exceeded"), queue.ErrFull},
		{api(10077, "message too large"), queue.ErrTooLarge},
		{api(10077, "store is closed"), nil},
		{api(10002, "resource limits exceeded for account"), queue.ErrFull},
		{api(10023, "insufficient resources"), queue.ErrFull},
		{api(10047, "insufficient storage resources available"), queue.ErrFull},
		{api(10054, "message size exceeds maximum allowed"), queue.ErrTooLarge},
		{api(10097, "header size exceeds maximum allowed"), queue.ErrTooLarge},
		{api(10060, "expected stream does not match"), queue.ErrNotFound},
		{api(10059, "stream not found"), queue.ErrNotFound},
		{api(10167, "too many requests"), nil},
		{api(10008, "JetStream system temporarily unavailable"), nil},
		{api(10009, "stream has no leader"), nil},
		{nats.ErrMaxPayload, queue.ErrTooLarge},
		{jetstream.ErrStreamNotFound, queue.ErrNotFound},
		{nats.ErrTimeout, nil},
		{nats.ErrReconnectBufExceeded, nil},
	} {
		if got := classify(c.err); !errors.Is(got, c.want) {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	for _, c := range []struct{ err, want error }{
		{api(10005, "no suitable peers for placement, insufficient storage"), queue.ErrNoRoom},
		{api(10005, "no suitable peers for placement, peer offline"), queue.ErrUnavailable},
		{api(10005, "no suitable peers for placement, peer offline, insufficient storage"), queue.ErrUnavailable},
		{api(10122, "stream max bytes exceeds account limit"), queue.ErrNoRoom},
		{nats.ErrTimeout, queue.ErrUnavailable},
		{api(10052, "bad config"), nil},
	} {
		if got := provisionError("S", 1, c.err); c.want != nil && !errors.Is(got, c.want) || c.want == nil && errors.Is(got, queue.ErrUnavailable) {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	want := origin{stream: "S_0", attempt: 3, seq: 17, order: 9, storedAtNano: 1700000000000000001}
	for _, reply := range []string{
		"$JS.ACK.S_0.cons.3.17.9.1700000000000000001.5",
		"$JS.ACK._.hash.S_0.cons.3.17.9.1700000000000000001.5",
		"$JS.ACK.hub.hash.S_0.cons.3.17.9.1700000000000000001.5.random",
		"$JS.ACK.hub.hash.S_0.cons.3.17.9.1700000000000000001.5.random.more",
	} {
		if got, err := parseOrigin(reply); err != nil || got != want {
			t.Errorf("%s: %+v, %v", reply, got, err)
		}
	}
	for _, reply := range []string{"", "x", "$JS.ACK.S.c.1.2.3.4", "$JS.ACK.a.S.c.1.2.3.4.5", "$JS.ACK.S.c.one.2.3.4.5", "_INBOX.S.c.1.2.3.4.5"} {
		if got, err := parseOrigin(reply); err == nil {
			t.Errorf("%s: %+v", reply, got)
		}
	}
}

func TestOpenFails(t *testing.T) {
	s := serve(t, embedded.Config{Listen: "127.0.0.1:0", User: "u", Password: "right"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	start := time.Now()
	_, err := Open(ctx, Config{URL: s.ClientURL(), User: "u", Password: "wrong"})
	if err == nil || !strings.Contains(err.Error(), "credentials") || strings.Contains(err.Error(), "wrong") || time.Since(start) > 8*time.Second {
		t.Fatalf("wrong password: %v after %s", err, time.Since(start))
	}
	if _, err := Open(ctx, Config{URL: s.ClientURL(), CredsFile: "/does/not/exist"}); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Fatalf("missing credentials file: %v", err)
	}
	_, err = Open(t.Context(), Config{URL: "nats://127.0.0.1:1", ConnectTimeout: 200 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nobody there: %v", err)
	}
	q := openQueue(t, Config{URL: s.ClientURL(), User: "u", Password: "right", Durability: Process})
	ensure(t, q, "AUTH_0", 1<<20)
}

// TestReaderCannotStart leaves nothing behind.
func TestReaderCannotStart(t *testing.T) {
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	ensure(t, q, "START_0", 1<<20, "c")
	l, err := q.consumeLink(t.Context(), toConsume, 1)
	if err != nil {
		t.Fatal(err)
	}
	l.close()
	r := newReader(q, l, "START_0", "c", queue.ConsumeOptions{MaxBytes: 1, MaxMessages: 1}, time.Second)
	if err := r.start(); err == nil || r.ctx.Err() == nil {
		t.Fatalf("error %v, context %v: the queue keeps the reader's context", err, r.ctx.Err())
	}
	if _, err := q.Consume(t.Context(), "START_0", "c", queue.ConsumeOptions{}); !errors.Is(err, queue.ErrUnavailable) || l.pledged != 1 || len(q.readers) > 0 {
		t.Fatalf("error %v, %d bytes pledged, %d readers", err, l.pledged, len(q.readers))
	}
}

// TestByteBudget: a publish waits while others have the budget, and no longer
// than its context.
func TestByteBudget(t *testing.T) {
	s := serve(t, embedded.Config{})
	q := openQueue(t, Config{Conn: s, Durability: Process, MaxInFlightBytes: 1000})
	ensure(t, q, "BUDGET_0", 1<<20)
	if err := q.budget.Acquire(t.Context(), 600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := q.Publish(ctx, "BUDGET_0", &queue.Message{ID: "a", Body: make([]byte, 500)})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "waiting for confirmation") {
		t.Fatalf("error is %v", err)
	}
	publish(t, q, "BUDGET_0", "b", 300)
	q.budget.Release(600)
	publish(t, q, "BUDGET_0", "c", 5000) // larger than the budget: alone
}
