package jetstream

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

func save(t *testing.T, q queue.Queue, key, data string, revision uint64) uint64 {
	t.Helper()
	r, err := q.Save(t.Context(), key, []byte(data), revision)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func keys(t *testing.T, q queue.Queue, prefix string) (found []string) {
	t.Helper()
	values, err := q.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		found = append(found, v.Key)
	}
	return found
}

// TestValueBucket: settings, other people's tools, a bucket that another made
// with other settings, and one that is deleted under its users.
func TestValueBucket(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	if got := keys(t, q, ""); got != nil {
		t.Fatalf("without a bucket there is %v", got)
	}
	if _, err := q.js.Stream(t.Context(), valueStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatalf("reading has made the bucket: %v", err)
	}
	save(t, q, "jobs/a.b", "x", 0)
	bucket := func() jetstream.StreamConfig {
		t.Helper()
		s, err := q.js.Stream(t.Context(), valueStream)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config
	}
	want := q.valueConfig()
	c := bucket()
	if c.Storage != jetstream.FileStorage || c.MaxBytes != ValueBytes || c.Replicas != 1 || c.MaxMsgsPerSubject != 1 || c.Discard != jetstream.DiscardNew ||
		!c.AllowDirect || !c.AllowMsgTTL || !c.DenyDelete || !slices.Equal(c.Subjects, want.Subjects) || c.MaxAge != 0 {
		t.Errorf("the bucket is %+v", c)
	}
	kv, err := q.js.KeyValue(t.Context(), ValueBucket)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(t.Context(), "jobs.a=b"); err != nil || string(e.Value()) != "x" {
		t.Fatalf("the library reads %v, %v", e, err)
	}
	if err := kv.Delete(t.Context(), "jobs.a=b"); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, q, "jobs/"); got != nil {
		t.Fatalf("what the library deleted is there: %v", got)
	}
	save(t, q, "jobs/a.b", "y", 0)
	if err := kv.Purge(t.Context(), "jobs.a=b"); err != nil {
		t.Fatal(err)
	}
	save(t, q, "jobs/a.b", "z", 0)
	if err := q.js.DeleteStream(t.Context(), valueStream); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Load(t.Context(), "jobs/a.b"); !errors.Is(err, queue.ErrNotFound) {
		t.Fatalf("load without the bucket: %v", err)
	}
	if err := q.Remove(t.Context(), "jobs/a.b", queue.AnyRevision); err != nil {
		t.Fatalf("remove without the bucket: %v", err)
	}
	save(t, q, "jobs/a.b", "again", 0)
	if err := q.js.DeleteStream(t.Context(), valueStream); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Save(t.Context(), "jobs/a.b", nil, 1); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("save of what is gone with the bucket: %v", err)
	}

	other := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	if _, err := other.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: ValueBucket, History: 5, MaxBytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(4) {
		save(t, other, "a", "x", i)
	}
	if err := other.Remove(t.Context(), "a", 4); err != nil { // the marker needs its time to live
		t.Fatal(err)
	}
	if got := keys(t, other, ""); got != nil {
		t.Fatalf("there is %v", got)
	}
}

// TestValueMarkerEnds: removed keys leave nothing for ever.
func TestValueMarkerEnds(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	r := save(t, q, "a", "x", 0)
	if err := q.Remove(t.Context(), "a", r); err != nil {
		t.Fatal(err)
	}
	m, err := q.askLeader(t.Context(), valueStream, "it", map[string]any{"last_by_subj": subjectOf("a")})
	if err != nil || !bytes.Contains(m.Header, []byte("Nats-TTL: "+markerTTL.String())) || !bytes.Contains(m.Header, []byte("KV-Operation: DEL")) {
		t.Fatalf("%s, %v", m.Header, err)
	}
}

// TestManyValues: more than one answer may hold, in number and in bytes.
func TestManyValues(t *testing.T) {
	t.Parallel()
	q := openQueue(t, Config{Conn: serve(t, embedded.Config{}), Durability: Process})
	small := q.valueConfig()
	small.MaxBytes = 11 << 20
	if _, err := q.js.CreateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	f := func(prefix string, n, size int) {
		t.Helper()
		var wg sync.WaitGroup
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("%s/%04d", prefix, i))
		}
		data := make([]byte, size)
		for some := range slices.Chunk(want, n/8) {
			wg.Go(func() {
				for _, key := range some {
					if _, err := q.Save(t.Context(), key, data, 0); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if got := keys(t, q, prefix+"/"); !slices.Equal(got, want) {
			t.Errorf("%d keys, want %d", len(got), len(want))
		}
	}
	f("many", 1100, 10)
	f("large", 40, queue.MaxValueBytes)

	// Full is told, and keeps no lease from being renewed.
	for i := 0; ; i++ {
		_, err := q.Save(t.Context(), fmt.Sprintf("more/%d", i), make([]byte, queue.MaxValueBytes), 0)
		if errors.Is(err, queue.ErrFull) {
			break
		}
		if err != nil || i > 100 {
			t.Fatalf("value %d: %v", i, err)
		}
	}
	if held, err := q.Lease(t.Context(), "janitor", "a", time.Hour); err != nil || !held {
		t.Fatalf("lease: %t, %v", held, err)
	}
	// It can be emptied, also when not even a marker fits.
	for i := 0; ; i++ {
		if _, err := q.Save(t.Context(), fmt.Sprintf("s/%d", i), nil, 0); errors.Is(err, queue.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"s/0", "s/1", "large/0000"} {
		v, err := q.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Remove(t.Context(), key, v.Revision); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Load(t.Context(), key); !errors.Is(err, queue.ErrNotFound) {
			t.Fatalf("%s after its removal: %v", key, err)
		}
	}
	save(t, q, "s/0", "there is room", 0)
}

func isValue(toServer bool, o op) bool {
	return toServer && o.verb() == "HPUB" && strings.Contains(o.line, valueSubject)
}

func isValueConfirmation(toServer bool, o op) bool {
	return !toServer && o.verb() == "MSG" && strings.Contains(string(o.payload), `"stream":"`+valueStream) && strings.Contains(string(o.payload), `"seq":`)
}

// TestValueConfirmationLost: what was stored is found out, and is never taken
// for another's.
func TestValueConfirmationLost(t *testing.T) {
	t.Parallel()
	var lose atomic.Bool
	var writes atomic.Int32
	inspect := func(_ *proxy, _ *conn, toServer bool, o op) bool {
		if isValue(toServer, o) {
			writes.Add(1)
		}
		return !isValueConfirmation(toServer, o) || !lose.CompareAndSwap(true, false)
	}
	q := through(t, Config{PublishTimeout: time.Second}, inspect)
	one := save(t, q, "a", "one", 0)
	for i, revision := range []uint64{one, queue.AnyRevision} {
		lose.Store(true)
		before := writes.Load()
		r, err := q.Save(t.Context(), "a", fmt.Append(nil, i), revision)
		if err != nil || r != one+uint64(i)+1 || writes.Load() != before+2 {
			t.Fatalf("revision %d after %d writes, %v", r, writes.Load()-before, err)
		}
	}
	lose.Store(true)
	if r, err := q.Save(t.Context(), "b", nil, 0); err != nil || r != one+3 {
		t.Fatalf("revision %d, %v", r, err)
	}
	lose.Store(true)
	if err := q.Remove(t.Context(), "b", one+3); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, q, ""); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("there is %v", got)
	}
}

// TestValueOvertaken: a confirmation was lost, and another has changed the value
// before the next try. Whether the first one was stored cannot be told.
func TestValueOvertaken(t *testing.T) {
	t.Parallel()
	var lose atomic.Bool
	s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
	other := openQueue(t, Config{Conn: s, Durability: Process})
	p := newProxy(t, s.ClientURL(), func(_ *proxy, _ *conn, toServer bool, o op) bool {
		if isValueConfirmation(toServer, o) && lose.CompareAndSwap(true, false) {
			_, err := other.Save(t.Context(), "a", []byte("theirs"), queue.AnyRevision)
			if err != nil {
				t.Error(err)
			}
			return false
		}
		return true
	})
	q := openTuned(t, Config{URL: p.URL, Durability: Process, PublishTimeout: time.Second}, quick)
	one := save(t, q, "a", "one", 0)
	lose.Store(true)
	if _, err := q.Save(t.Context(), "a", []byte("ours"), one); !errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrConflict) {
		t.Fatalf("error is %v", err)
	}
	if v, err := q.Load(t.Context(), "a"); err != nil || string(v.Data) != "theirs" {
		t.Fatalf("%+v, %v", v, err)
	}
}

// TestListBehind: a server that lags leaves out what this process has saved, and
// shows what it has removed. The leader is asked for that.
func TestListBehind(t *testing.T) {
	t.Parallel()
	var hide, cut atomic.Bool
	q := through(t, Config{}, func(_ *proxy, c *conn, toServer bool, o op) bool {
		if toServer || o.verb() != "HMSG" || !strings.Contains(string(o.payload), "Nats-Subject: "+valueSubject) || !strings.Contains(string(o.payload), "Nats-Num-Pending") {
			return true
		}
		if cut.CompareAndSwap(true, false) {
			c.close()
			return false
		}
		return !hide.Load() || !strings.Contains(string(o.payload), "Nats-Subject: "+subjectOf("p/b")+"\r\n")
	})
	save(t, q, "p/a", "a", 0)
	r := save(t, q, "p/b", "b", 0)
	hide.Store(true)
	if got := keys(t, q, "p/"); !slices.Equal(got, []string{"p/a", "p/b"}) {
		t.Fatalf("listed %v", got)
	}
	if err := q.Remove(t.Context(), "p/b", r); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, q, "p/"); !slices.Equal(got, []string{"p/a"}) {
		t.Fatalf("listed %v", got)
	}
	hide.Store(false)
	cut.Store(true) // in the middle of an answer
	if got := keys(t, q, ""); !slices.Equal(got, []string{"p/a"}) {
		t.Fatalf("listed %v", got)
	}
	// What is known is forgotten in time, and bounded before.
	q.values.mu.Lock()
	for i := range 300 {
		q.values.known[fmt.Sprint(i)] = known{1, time.Now().Add(-2 * knownFor)}
	}
	q.values.mu.Unlock()
	q.note("p/c", 1)
	if n := len(q.values.known); n > 10 {
		t.Fatalf("%d keys are known", n)
	}
	q.values.known["p/c"] = known{1, time.Now().Add(-2 * knownFor)}
	if old := q.behind(nil, "p/c"); len(old) > 0 {
		t.Fatalf("still known: %v", old)
	}
}

func TestKeyToSubject(t *testing.T) {
	for key, want := range map[string]string{
		"a":                   "$KV.PENSTOCK_VALUES.a",
		"fleet/worker-1":      "$KV.PENSTOCK_VALUES.fleet.worker-1",
		"a.b/c_d":             "$KV.PENSTOCK_VALUES.a=b.c_d",
		"jobs/2026-11-23.x/y": "$KV.PENSTOCK_VALUES.jobs.2026-11-23=x.y",
	} {
		if got := subjectOf(key); got != want || keyOf(got) != key {
			t.Errorf("%s: %s, and back %s; want %s", key, got, keyOf(got), want)
		}
	}
}
