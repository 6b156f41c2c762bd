package jetstream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestStreamSettings holds the table of settings.
func TestStreamSettings(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	ensure(t, q, "PENSTOCK_TRACES_0", 1<<20, "export-backend")
	s, err := q.js.Stream(t.Context(), "PENSTOCK_TRACES_0")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if fmt.Sprint(c.Subjects) != "[penstock.traces.0]" || c.Storage != jetstream.FileStorage || c.Replicas != 1 ||
		c.Retention != jetstream.LimitsPolicy || c.Discard != jetstream.DiscardNew || c.MaxAge != 0 || c.MaxBytes != 1<<20 ||
		c.MaxMsgs != -1 || c.Duplicates != time.Minute || !c.AllowDirect || !c.DenyDelete || c.DenyPurge ||
		c.Compression != jetstream.NoCompression || c.PersistMode != jetstream.DefaultPersistMode {
		t.Fatalf("stream settings: %+v", c)
	}
	cons, err := s.Consumer(t.Context(), "export-backend")
	if err != nil {
		t.Fatal(err)
	}
	cc := cons.CachedInfo().Config
	if cc.AckPolicy != jetstream.AckExplicitPolicy || cc.MaxDeliver != -1 || cc.MaxAckPending != 512 || cc.InactiveThreshold != 0 ||
		cc.DeliverPolicy != jetstream.DeliverAllPolicy || cc.FilterSubject != "" || cc.AckWait != 2*time.Second {
		t.Fatalf("consumer settings: %+v", cc)
	}
}

// TestAdopt brings a stream that somebody else made to the settings, or says why
// that cannot be.
func TestAdopt(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	for i, c := range []struct {
		change func(*jetstream.StreamConfig)
		wrong  string
	}{
		{func(c *jetstream.StreamConfig) { c.Discard, c.MaxAge = jetstream.DiscardOld, time.Hour }, ""},
		{func(c *jetstream.StreamConfig) { c.AllowDirect, c.DenyDelete, c.MaxMsgs = false, false, 10 }, ""},
		{func(c *jetstream.StreamConfig) { c.MaxMsgSize, c.NoAck, c.Duplicates = 1000, true, time.Second }, ""},
		{func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 5, true }, ""},
		{func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "storage"},
		{func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "retention"},
		{func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "more") }, "subjects"},
		{func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist mode"},
		{func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "X"}} }, "kind"},
	} {
		name := fmt.Sprintf("ADOPT_%d", i)
		want := q.streamConfig(queue.StreamConfig{Name: name, MaxBytes: 1 << 20, DedupWindow: time.Minute})
		have := q.streamConfig(queue.StreamConfig{Name: name, MaxBytes: 1 << 20, DedupWindow: time.Minute})
		c.change(&have)
		if _, err := q.js.CreateStream(t.Context(), have); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: name, MaxBytes: 1 << 20})
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%d: error is %v, want %q", i, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		s, err := q.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, changed, err := reconcile(s.CachedInfo(), want); changed || err != nil {
			t.Errorf("%d: still differs: %+v (%v)", i, s.CachedInfo().Config, err)
		}
	}
}

// TestStreamMade: a stream that the server has lost is made anew, loudly.
func TestStreamMade(t *testing.T) {
	t.Parallel()
	const stream = "MADE_0"
	t.Run("embedded", func(t *testing.T) {
		var logged logLines
		s := serve(t, embedded.Config{})
		q := openQueue(t, Config{Conn: s, Durability: Process, Logger: logged.logger()})
		ensure(t, q, stream, 1<<20)
		ensure(t, q, stream, 1<<20)
		publish(t, q, stream, "a", 10)
		if n := len(logged.with("level=INFO", "a stream is made", stream)); n != 1 || len(logged.with("level=ERROR")) > 0 {
			t.Fatalf("a new stream is told %d times: %s", n, logged.with(""))
		}
		_ = q.Close() // always nil
		shutdown(t, s)
		dir := filepath.Join(s.Dir(), "jetstream", "$G", "streams", stream)
		if err := os.Remove(filepath.Join(dir, "meta.sum")); err != nil {
			t.Fatal(err)
		}
		q = openQueue(t, Config{Conn: serve(t, embedded.Config{Dir: s.Dir()}), Durability: Process, Logger: logged.logger()})
		if _, err := q.StreamState(t.Context(), stream); !isNotFound(err) {
			t.Fatalf("the server did not skip the stream: %v", err)
		}
		ensure(t, q, stream, 1<<20)
		if len(logged.with("level=ERROR", "not recovered", stream, dir)) != 1 {
			t.Fatalf("log: %s", logged.with(""))
		}
	})
	t.Run("external", func(t *testing.T) {
		var logged logLines
		s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
		q := openQueue(t, Config{URL: s.ClientURL(), Durability: Process, Logger: logged.logger()})
		for range 2 {
			ensure(t, q, stream, 1<<20)
			if len(logged.with("level=WARN", "only at the first start", stream)) != 1 {
				t.Fatalf("log: %s", logged.with(""))
			}
		}
	})
}

func TestNoRoom(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{MaxStoreBytes: 30 << 20}), Durability: Process})
	f := func(name string, maxBytes int64, want error) {
		t.Helper()
		err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: name, MaxBytes: maxBytes})
		if !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "queue.max_bytes") {
			t.Fatalf("%s of %d bytes: %v, want %v", name, maxBytes, err, want)
		}
	}
	f("ROOM_0", 100<<20, queue.ErrNoRoom)
	f("ROOM_1", 40<<20, nil)
	f("ROOM_2", 40<<20, queue.ErrNoRoom)
	f("ROOM_1", 100<<20, queue.ErrNoRoom) // growing
	f("ROOM_1", 50<<20, nil)
}

func TestBadNames(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	ctx := t.Context()
	for _, name := range []string{"", "lower", "A__B", "_A", "A_", "A.B", "A B", "A*", "Ä", strings.Repeat("A", 129)} {
		_, _, get := q.Get(ctx, name, 1)
		_, state := q.StreamState(ctx, name)
		_, cons := q.ConsumerState(ctx, name, "c")
		_, pub := q.Publish(ctx, name, &queue.Message{ID: "a"})
		for what, err := range map[string]error{"get": get, "state": state, "consumer state": cons, "publish": pub,
			"ensure": q.EnsureStream(ctx, queue.StreamConfig{Name: name, MaxBytes: 1 << 20})} {
			if err == nil || !strings.Contains(err.Error(), "stream name") {
				t.Errorf("%s of stream %q: %v", what, name, err)
			}
		}
	}
	ensure(t, q, "NAMES_0", 1<<20)
	for _, name := range []string{"", "a.b", "a b", ">", strings.Repeat("a", 129)} {
		_, err := q.ConsumerState(ctx, "NAMES_0", name)
		for what, err := range map[string]error{"state": err, "ensure": q.EnsureConsumer(ctx, "NAMES_0", queue.ConsumerConfig{Name: name})} {
			if err == nil || !strings.Contains(err.Error(), "consumer name") {
				t.Errorf("%s of consumer %q: %v", what, name, err)
			}
		}
	}
	for _, m := range []*queue.Message{
		{ID: "a\r\nb"}, {ID: " a"}, {ID: "ä"},
		{ID: "a", Header: map[string]string{"": "v"}}, {ID: "a", Header: map[string]string{"Nats-Rollup": "all"}},
		{ID: "a", Header: map[string]string{"Status": "100"}}, {ID: "a", Header: map[string]string{"K": "v\r\nNats-Rollup: all"}},
		{ID: "a", Header: map[string]string{"K:": "v"}}, {ID: "a", Header: map[string]string{"K": " v"}},
	} {
		if _, err := q.Publish(ctx, "NAMES_0", m); err == nil {
			t.Errorf("message %+v is accepted", m)
		}
	}
	if err := q.EnsureStream(ctx, queue.StreamConfig{Name: "NAMES_1", MaxBytes: 1, DedupWindow: 45 * time.Second}); err == nil || !strings.Contains(err.Error(), "dedup window") {
		t.Errorf("a dedup window as short as the horizon: %v", err)
	}
}
