package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

func ensure(t *testing.T, q queue.Queue, stream string, maxBytes int64, consumers ...string) {
	t.Helper()
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: stream, MaxBytes: maxBytes}); err != nil {
		t.Fatal(err)
	}
	for _, c := range consumers {
		if err := q.EnsureConsumer(t.Context(), stream, queue.ConsumerConfig{Name: c, AckWait: 2 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
}

func publish(t *testing.T, q queue.Queue, stream, id string, size int) queue.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := q.Publish(ctx, stream, &queue.Message{ID: id, Body: make([]byte, size)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func next(t *testing.T, c queue.Consumer) queue.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRestartWhilePublishing stops and starts the server under load, over TCP
// and in process. Every nil error is a message that is there, once; and readers
// go on by themselves.
func TestRestartWhilePublishing(t *testing.T) {
	t.Parallel()
	for _, inside := range []bool{false, true} {
		t.Run(fmt.Sprintf("in process %t", inside), func(t *testing.T) {
			s := serve(t, embedded.Config{SyncAlways: true, Listen: "127.0.0.1:0"})
			c := Config{URL: s.ClientURL(), Durability: Process}
			if inside {
				c = Config{Conn: s}
			} else {
				s = fixedPort(t, s)
				c.URL = s.ClientURL()
			}
			c.Logger = logTo(t)
			q := openQueue(t, c)
			restartUnder(t, s, q)
		})
	}
}

// fixedPort starts the server again on the port that it was given, so that it
// keeps it over restarts.
func fixedPort(t *testing.T, s *embedded.Server) *embedded.Server {
	t.Helper()
	addr := s.Addr().String()
	shutdown(t, s)
	return serve(t, embedded.Config{SyncAlways: true, Listen: addr})
}

func restartUnder(t *testing.T, s *embedded.Server, q *Queue) {
	const stream = "RESTART_0"
	ensure(t, q, stream, 256<<20, "c")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cons, err := q.Consume(ctx, stream, "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	confirmed, delivered := map[string]uint64{}, map[string]bool{}
	stopped := make(chan struct{})
	var wg, publishers sync.WaitGroup
	for w := range 4 {
		publishers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stopped:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", w, i)
				r, err := q.Publish(ctx, stream, &queue.Message{ID: id, Body: make([]byte, 20_000)})
				if err != nil {
					t.Errorf("publish %s: %v", id, err)
					return
				}
				mu.Lock()
				confirmed[id] = r.Sequence
				mu.Unlock()
			}
		})
	}
	browsed := browseUntil(t, ctx, &wg, q, stream, "last")
	all := make(chan struct{})
	wg.Go(func() {
		for {
			d, err := cons.Next(ctx)
			if err != nil {
				t.Errorf("next: %v", err)
				return
			}
			if err := d.Ack(); err != nil {
				t.Logf("ack: %v", err)
			}
			mu.Lock()
			delivered[d.Message().ID] = true
			done := delivered["last"]
			for id := range confirmed {
				done = done && delivered[id]
			}
			mu.Unlock()
			if done { // "last" is published when all others are confirmed
				close(all)
				return
			}
		}
	})
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(confirmed) }
	for range 3 {
		before := count()
		until(t, "publishing goes on", func() bool { return count() > before+50 })
		if err := s.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	before := count()
	until(t, "publishing goes on", func() bool { return count() > before+50 })
	close(stopped)
	// One more, behind all others, so that the readers have something to end by.
	publishers.Wait()
	publish(t, q, stream, "last", 10)
	select {
	case <-all:
	case <-ctx.Done():
		t.Fatal("not all that was confirmed was delivered")
	}
	wg.Wait()
	ids := map[string]uint64{}
	st, err := q.StreamState(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	for seq := st.FirstSeq; seq <= st.LastSeq; seq++ {
		m, _, err := q.Get(ctx, stream, seq)
		if err != nil {
			t.Fatal(err)
		}
		if was, twice := ids[m.ID]; twice {
			t.Errorf("%s is stored at %d and %d", m.ID, was, seq)
		}
		ids[m.ID] = seq
	}
	wantAll(t, browsed, ids)
	for id, seq := range confirmed {
		if ids[id] != seq {
			t.Errorf("%s was confirmed at %d, and is at %d", id, seq, ids[id])
		}
	}
	t.Logf("%d confirmed, %d stored", len(confirmed), len(ids))
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	untilWithin(t, 20*time.Second, what, ok)
}

func untilWithin(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestPublishWithoutServer gives up with the context, by ErrUnavailable, and
// goes on when the server is back. Ready says so in between.
func TestPublishWithoutServer(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
	s = fixedPort(t, s)
	dir, addr := s.Dir(), s.Addr().String()
	q := openQueue(t, Config{URL: s.ClientURL(), Durability: Process})
	ensure(t, q, "AWAY_0", 1<<20)
	publish(t, q, "AWAY_0", "a", 10)
	shutdown(t, s)
	until(t, "Ready tells", func() bool { return errors.Is(q.Ready(t.Context()), queue.ErrUnavailable) })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := q.Publish(ctx, "AWAY_0", &queue.Message{ID: "b"})
	if !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("error is %v", err)
	}
	serve(t, embedded.Config{Dir: dir, Listen: addr})
	if r := publish(t, q, "AWAY_0", "b", 10); r.Sequence != 2 {
		t.Fatalf("receipt %+v: was the first try kept and sent later?", r)
	}
	if err := q.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestConnectionLog: coming and going in order is for debug, a loss and what
// ends it are not. Inside the process there is no address.
func TestConnectionLog(t *testing.T) {
	t.Parallel()
	for _, inside := range []bool{true, false} {
		t.Run(fmt.Sprintf("in process %t", inside), func(t *testing.T) {
			var logged logLines
			s := serve(t, embedded.Config{})
			c := Config{Conn: s, Durability: Process, Logger: logged.logger()}
			if !inside {
				s = fixedPort(t, serve(t, embedded.Config{Listen: "127.0.0.1:0"}))
				c.Conn, c.URL = nil, s.ClientURL()
			}
			f := func(n int, parts ...string) {
				t.Helper()
				if got := logged.with(parts...); len(got) != n {
					t.Errorf("%d lines with %q, want %d: %s", len(got), parts, n, logged.with(""))
				}
			}
			q := openQueue(t, c) // two connections
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, "all are connected again", func() bool { return len(logged.with("level=INFO", `"queue connected again"`)) == 2 })
			_ = q.Close() // always nil
			f(2, "level=DEBUG", `"queue connected"`)
			f(2, "level=WARN", "connection lost")
			f(2, "level=DEBUG", "connection closed")
			f(2, "level=INFO")
			if inside {
				f(0, "4222")
				f(0, "address=")
			} else {
				f(4, "address="+strings.TrimPrefix(s.ClientURL(), "nats://"))
			}
		})
	}
	t.Run("waited for", func(t *testing.T) {
		var logged logLines
		s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
		dir, url, addr := s.Dir(), s.ClientURL(), s.Addr().String()
		shutdown(t, s)
		opened := make(chan error, 1)
		go func() { // received below
			q, err := Open(t.Context(), Config{URL: url, Durability: Process, Logger: logged.logger()})
			if err == nil {
				err = q.Close()
			}
			opened <- err
		}()
		until(t, "the trouble is told", func() bool { return len(logged.with("level=WARN", "cannot be reached")) > 0 })
		serve(t, embedded.Config{Dir: dir, Listen: addr})
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
		if len(logged.with("level=INFO", `"queue connected"`)) != 1 {
			t.Errorf("log: %s", logged.with(""))
		}
	})
}

// TestHorizon bounds the repetitions without any deadline of the caller.
func TestHorizon(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{})
	q := openQueue(t, Config{Conn: s, Durability: Process, PublishTimeout: 50 * time.Millisecond, PublishHorizon: 300 * time.Millisecond})
	ensure(t, q, "HORIZON_0", 1<<20)
	shutdown(t, s)
	_, err := q.Publish(context.Background(), "HORIZON_0", &queue.Message{ID: "a"})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "HORIZON_0") {
		t.Fatalf("error is %v", err)
	}
}
