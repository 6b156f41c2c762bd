package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// external is a server on its own that can be stopped, and started again at its
// addresses with other settings.
type external struct {
	t *testing.T
	c embedded.Config
	s *embedded.Server
}

func startExternal(t *testing.T) *external {
	e := &external{t: t, c: embedded.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MonitorListen: "127.0.0.1:0", SyncAlways: true}}
	e.s = serve(t, e.c)
	u, err := url.Parse(e.s.MonitorURL())
	if err != nil {
		t.Fatal(err)
	}
	e.c.Listen, e.c.MonitorListen = e.s.Addr().String(), u.Host
	return e
}

func (e *external) restart(sync bool) {
	e.t.Helper()
	shutdown(e.t, e.s)
	e.c.SyncAlways = sync
	e.s = serve(e.t, e.c)
}

// refused publishes for a moment, and wants the reason everywhere.
func refused(t *testing.T, q *Queue, stream, id, reason string) {
	t.Helper()
	until(t, "Ready tells", func() bool {
		err := q.Ready(t.Context())
		return errors.Is(err, queue.ErrUnavailable) && strings.Contains(err.Error(), reason)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := q.Publish(ctx, stream, &queue.Message{ID: id})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "not verified") || !strings.Contains(err.Error(), reason) {
		t.Fatalf("publish over a connection that is not verified: %v, want %q", err, reason)
	}
	if d := q.Durability(); !strings.Contains(d, "NOT verified") || !strings.Contains(d, reason) {
		t.Fatalf("durability %q", d)
	}
}

// TestServerComesBackLazy: a server that was proven is started again without
// sync_interval: always. Nothing is published until it syncs once more.
func TestServerComesBackLazy(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	q := openQueue(t, Config{URL: e.s.ClientURL(), MonitorURLs: []string{e.s.MonitorURL()}, PublishConnections: 2, Logger: logTo(t)})
	const stream = "LAZY_0"
	ensure(t, q, stream, 1<<20)
	publish(t, q, stream, "a", 10)

	e.restart(false)
	refused(t, q, stream, "b", "confirm before they sync")
	if st, err := q.StreamState(t.Context(), stream); err != nil || st.Messages != 1 {
		t.Fatalf("%d messages, %v: published without proof", st.Messages, err)
	}

	waiting := make(chan error, 1)
	go func() { // received below
		_, err := q.Publish(t.Context(), stream, &queue.Message{ID: "b"})
		waiting <- err
	}()
	e.restart(true)
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if d := q.Durability(); !strings.HasPrefix(d, "strict, verified") {
		t.Fatalf("durability %q", d)
	}
	if err := q.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestProofHealsByItself: the same server, but it cannot be asked for a while
// after a cut. No further reconnect is needed.
func TestProofHealsByItself(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	target, err := url.Parse(e.s.MonitorURL())
	if err != nil {
		t.Fatal(err)
	}
	var mute atomic.Bool
	pass := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	pass.Transport = transport
	monitor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mute.Load() {
			http.Error(w, "mute", http.StatusTeapot)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	defer monitor.Close()
	p := newProxy(t, e.s.ClientURL(), func(*proxy, *conn, bool, op) bool { return true })
	q := openQueue(t, Config{URL: p.URL, MonitorURLs: []string{monitor.URL}, Logger: logTo(t)})
	const stream = "HEALS_0"
	ensure(t, q, stream, 1<<20)
	publish(t, q, stream, "a", 10)
	mute.Store(true)
	publish(t, q, stream, "b", 10) // the proof of a connection that stands needs no monitor

	p.cut()
	refused(t, q, stream, "c", "418")
	mute.Store(false)
	publish(t, q, stream, "c", 10)
	if err := q.Ready(t.Context()); err != nil || !strings.HasPrefix(q.Durability(), "strict, verified") {
		t.Fatalf("ready: %v, durability %q", err, q.Durability())
	}
}

// TestProofOutlivesLoss: what was confirmed before a loss is confirmed. Only the
// next connection needs a new proof.
func TestProofOutlivesLoss(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	q := openQueue(t, Config{URL: e.s.ClientURL(), MonitorURLs: []string{e.s.MonitorURL()}})
	l := q.publish[0]
	before, err := q.proof.connection(l)
	if err != nil {
		t.Fatal(err)
	}
	shutdown(t, e.s)
	until(t, "the loss is seen", func() bool { return !l.isUp() })
	if after, err := q.proof.connection(l); err != nil || after != before {
		t.Fatalf("connection %d after the loss of %d, %v", after, before, err)
	}
	e.s = serve(t, e.c)
	until(t, "verified again", func() bool { return q.Ready(t.Context()) == nil })
	if after, err := q.proof.connection(l); err != nil || after == before {
		t.Fatalf("connection %d after the loss of %d, %v", after, before, err)
	}
}

// TestProofNotAskedFor: nothing is held up where nothing is promised, and what
// is said is true all the same.
func TestProofNotAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"process":          {Durability: Process},
		"allow unverified": {AllowUnverified: true},
	} {
		t.Run(name, func(t *testing.T) {
			var logged logLines
			e := startExternal(t)
			c.URL, c.MonitorURLs, c.Logger = e.s.ClientURL(), []string{e.s.MonitorURL()}, logged.logger()
			q := openQueue(t, c)
			ensure(t, q, "FREE_0", 1<<20)
			before := q.Durability()
			if strings.Contains(before, "NOT") {
				t.Fatalf("durability %q", before)
			}
			e.restart(false)
			publish(t, q, "FREE_0", "a", 10)
			if c.AllowUnverified {
				until(t, "durability tells", func() bool { return strings.Contains(q.Durability(), "confirm before they sync") })
				e.restart(false)
				publish(t, q, "FREE_0", "b", 10)
				until(t, "asked again", q.publish[0].isProven)
				if n := len(logged.with("level=WARN", "confirm before they sync")); n != 1 {
					t.Errorf("the same is told %d times: %s", n, logged.with(""))
				}
			} else if q.Durability() != before {
				t.Fatalf("durability %q, before %q", q.Durability(), before)
			}
		})
	}
}

// TestServerAway: a cluster of three goes on with two, and is not trusted any
// more when the third comes back lazy.
func TestServerAway(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	until(t, "every server answers", func() bool {
		_, err := tryOpen(t, Config{URL: c.urls, Durability: Replicated})
		return err == nil
	})
	q := openQueue(t, Config{URL: c.urls, Durability: Replicated, Logger: logTo(t)})
	const stream = "AWAY_0"
	until(t, "the stream is made", func() bool {
		return q.EnsureStream(t.Context(), queue.StreamConfig{Name: stream, MaxBytes: 1 << 20}) == nil
	})
	publish(t, q, stream, "a", 10)

	id := q.publish[0].nc.ConnectedServerId()
	for i, s := range c.servers {
		if s.ID() == id {
			stop(s)
			publish(t, q, stream, "b", 10)
			if d := q.Durability(); !strings.HasPrefix(d, "replicated, verified") || !strings.Contains(d, "2 of 3") {
				t.Fatalf("durability %q", d)
			}
			c.start(i, func(o *server.Options) { o.SyncAlways = false })
			refused(t, q, stream, "c", fmt.Sprintf("confirm before they sync: n%d", i))
			return
		}
	}
	t.Fatalf("connected to %s, which is none of ours", id)
}
