package jetstream

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// quick makes pulls expire while a test waits.
var quick = tuning{pullExpires: 400 * time.Millisecond, heartbeat: 100 * time.Millisecond,
	backoffMin: 5 * time.Millisecond, backoffMax: 100 * time.Millisecond}

// through opens a queue behind a proxy.
func through(t *testing.T, c Config, see func(p *proxy, c *conn, toServer bool, o op) bool) *Queue {
	t.Helper()
	s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
	c.URL, c.Durability = newProxy(t, s.ClientURL(), see).URL, Process
	c.Logger = logTo(t)
	return openTuned(t, c, quick)
}

func isPublish(toServer bool, o op) bool {
	return toServer && o.verb() == "HPUB" && strings.Contains(o.line, "penstock.net.")
}

func isPull(toServer bool, o op) bool {
	return toServer && o.verb() == "PUB" && strings.Contains(o.line, "CONSUMER.MSG.NEXT")
}

func isDelivery(toServer bool, o op) bool {
	return !toServer && o.verb() == "HMSG" && strings.Contains(o.line, "penstock.net.")
}

func isConfirmation(toServer bool, o op) bool {
	return !toServer && o.verb() == "MSG" && strings.Contains(string(o.payload), `"seq":`) && strings.Contains(string(o.payload), `"stream":"PENSTOCK_NET_`)
}

// TestLostConfirmation: the message was stored, the answer was lost. The next
// try is a duplicate.
func TestLostConfirmation(t *testing.T) {
	t.Parallel()
	var lost atomic.Int32
	q := through(t, Config{PublishTimeout: 150 * time.Millisecond}, func(_ *proxy, _ *conn, toServer bool, o op) bool {
		return !isConfirmation(toServer, o) || lost.Add(1) > 2
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20)
	if r := publish(t, q, "PENSTOCK_NET_0", "a", 10); !r.Duplicate || r.Sequence != 1 {
		t.Fatalf("receipt %+v, want a duplicate of 1", r)
	}
	if r := publish(t, q, "PENSTOCK_NET_0", "b", 10); r.Duplicate || r.Sequence != 2 {
		t.Fatalf("receipt %+v, want 2", r)
	}
}

// TestConfirmedByAnother: a confirmation must be of the stream that was asked
// for. No second try goes the same way.
func TestConfirmedByAnother(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	q := through(t, Config{}, func(_ *proxy, c *conn, toServer bool, o op) bool {
		if isPublish(toServer, o) {
			tries.Add(1)
		}
		if isConfirmation(toServer, o) {
			go c.toClient(o.line + "\r\n" + strings.Replace(string(o.payload), "PENSTOCK_NET_0", "PENSTOCK_NET_9", 1))
			return false
		}
		return true
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20)
	_, err := q.Publish(t.Context(), "PENSTOCK_NET_0", &queue.Message{ID: "a"})
	if !errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrNotFound) {
		t.Fatalf("error is %v", err)
	}
	for _, want := range []string{"PENSTOCK_NET_9", "not by PENSTOCK_NET_0", "subject mapping is wrong", Subject("PENSTOCK_NET_0")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if tries.Load() != 1 {
		t.Errorf("%d tries", tries.Load())
	}
}

// TestCutWhilePublishing: a lost connection ends the try at once, long before
// its deadline.
func TestCutWhilePublishing(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	q := through(t, Config{PublishTimeout: time.Minute}, func(p *proxy, c *conn, toServer bool, o op) bool {
		if isPublish(toServer, o) && tries.Add(1) <= 2 {
			c.close()
			return false
		}
		return true
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20)
	if r := publish(t, q, "PENSTOCK_NET_0", "a", 10); r.Sequence != 1 {
		t.Fatalf("receipt %+v", r)
	}
	if tries.Load() != 3 {
		t.Fatalf("%d tries, want 3", tries.Load())
	}
}

// TestLostPull: the server never saw the request, so there are no heartbeats.
func TestLostPull(t *testing.T) {
	t.Parallel()
	var pulls atomic.Int32
	q := through(t, Config{}, func(_ *proxy, _ *conn, toServer bool, o op) bool {
		return !isPull(toServer, o) || pulls.Add(1) > 2
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20, "c")
	c, err := q.Consume(t.Context(), "PENSTOCK_NET_0", "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, q, "PENSTOCK_NET_0", "a", 10)
	if d := next(t, c); d.Message().ID != "a" {
		t.Fatalf("delivered %s", d.Message().ID)
	}
	if pulls.Load() < 3 {
		t.Fatalf("%d pulls", pulls.Load())
	}
}

// TestLostDeliveries: the server believes the pull done, and the reader hears
// nothing more. What was lost comes after the ack wait.
func TestLostDeliveries(t *testing.T) {
	t.Parallel()
	var deliveries atomic.Int32
	q := through(t, Config{}, func(_ *proxy, _ *conn, toServer bool, o op) bool {
		return !isDelivery(toServer, o) || deliveries.Add(1) > 2
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20, "c")
	for i := range 5 {
		publish(t, q, "PENSTOCK_NET_0", fmt.Sprint(i), 10)
	}
	c, err := q.Consume(t.Context(), "PENSTOCK_NET_0", "c", queue.ConsumeOptions{MaxMessages: 2})
	if err != nil {
		t.Fatal(err)
	}
	attempts := map[string]int{}
	for len(attempts) < 5 {
		d := next(t, c)
		attempts[d.Message().ID] = d.Attempt()
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if attempts["0"] != 2 || attempts["1"] != 2 || attempts["4"] != 1 {
		t.Fatalf("attempts %v", attempts)
	}
}

// TestIdleWithBacklog: pulls expire empty although messages are pending, as from
// a server that lost interest in the inbox. The reader subscribes anew.
func TestIdleWithBacklog(t *testing.T) {
	t.Parallel()
	sids := map[string]string{} // inbox without its last token -> subscription
	var refused atomic.Int32
	q := through(t, Config{}, func(_ *proxy, c *conn, toServer bool, o op) bool {
		f := strings.Fields(o.line)
		if toServer && o.verb() == "SUB" && strings.HasSuffix(f[1], ".*") {
			sids[strings.TrimSuffix(f[1], ".*")] = f[2]
		}
		if !isPull(toServer, o) || len(sids) > 3 { // control, publish and two of the reader
			return true
		}
		reply := f[2]
		sid := sids[reply[:strings.LastIndex(reply, ".")]]
		const h = "NATS/1.0 408 Request Timeout\r\n\r\n"
		refused.Add(1)
		go c.toClient(fmt.Sprintf("HMSG %s %s %d %d\r\n%s\r\n", reply, sid, len(h), len(h), h))
		return false
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20, "c")
	publish(t, q, "PENSTOCK_NET_0", "a", 10)
	c, err := q.Consume(t.Context(), "PENSTOCK_NET_0", "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next(t, c)
	if refused.Load() < 2 {
		t.Fatalf("%d empty pulls before", refused.Load())
	}
}

// TestRefusedPulls backs off on errors of the server, and goes on.
func TestRefusedPulls(t *testing.T) {
	t.Parallel()
	sids := map[string]string{}
	var refused atomic.Int32
	answers := []string{"503", "409 Leadership Change", "409 Server Shutdown", "400 Bad Request", "409 Exceeded MaxWaiting", "409 Consumer Deleted"}
	q := through(t, Config{}, func(_ *proxy, c *conn, toServer bool, o op) bool {
		f := strings.Fields(o.line)
		if toServer && o.verb() == "SUB" && strings.HasSuffix(f[1], ".*") {
			sids[strings.TrimSuffix(f[1], ".*")] = f[2]
		}
		if !isPull(toServer, o) || int(refused.Load()) >= len(answers) {
			return true
		}
		reply := f[2]
		h := "NATS/1.0 " + answers[refused.Add(1)-1] + "\r\n\r\n"
		go c.toClient(fmt.Sprintf("HMSG %s %s %d %d\r\n%s\r\n", reply, sids[reply[:strings.LastIndex(reply, ".")]], len(h), len(h), h))
		return false
	})
	ensure(t, q, "PENSTOCK_NET_0", 1<<20, "c")
	publish(t, q, "PENSTOCK_NET_0", "a", 10)
	c, err := q.Consume(t.Context(), "PENSTOCK_NET_0", "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next(t, c)
}

// TestEnsureConsumerWritesOnce: an update would write to a disk that may be full.
func TestEnsureConsumerWritesOnce(t *testing.T) {
	t.Parallel()
	var writes atomic.Int32
	q := through(t, Config{}, func(_ *proxy, _ *conn, toServer bool, o op) bool {
		if toServer && strings.Contains(o.line, "$JS.API.CONSUMER.CREATE.") {
			writes.Add(1)
		}
		return true
	})
	const stream = "PENSTOCK_NET_0"
	f := func(c queue.ConsumerConfig, want int32) {
		t.Helper()
		if err := q.EnsureConsumer(t.Context(), stream, c); err != nil || writes.Load() != want {
			t.Fatalf("%d writes, want %d: %v", writes.Load(), want, err)
		}
	}
	ensure(t, q, stream, 1<<20)
	f(queue.ConsumerConfig{Name: "c"}, 1)
	f(queue.ConsumerConfig{Name: "c"}, 1)
	f(queue.ConsumerConfig{Name: "c", AckWait: time.Second}, 2)
	f(queue.ConsumerConfig{Name: "c", AckWait: time.Second}, 2)
	f(queue.ConsumerConfig{Name: "c", AckWait: time.Second, MaxAckPending: 7}, 3)
}

// TestCutWhileReading: a new connection needs a new pull.
func TestCutWhileReading(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{Listen: "127.0.0.1:0"})
	p := newProxy(t, s.ClientURL(), func(*proxy, *conn, bool, op) bool { return true })
	q := openQueue(t, Config{URL: p.URL, Durability: Process}) // pulls of 30 s
	ensure(t, q, "PENSTOCK_NET_0", 1<<20, "c")
	c, err := q.Consume(t.Context(), "PENSTOCK_NET_0", "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		id := fmt.Sprint(i)
		publish(t, q, "PENSTOCK_NET_0", id, 10)
		d := next(t, c)
		if d.Message().ID != id {
			t.Fatalf("delivered %s, want %s", d.Message().ID, id)
		}
		p.cut()
		// The ack rides out the cut: it is confirmed over the next connection.
		if err := d.AckSync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConsumerDeleted ends Next for good, by ErrNotFound.
func TestConsumerDeleted(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{})
	q := openTuned(t, Config{Conn: s, Durability: Process}, quick)
	ensure(t, q, "PENSTOCK_NET_0", 1<<20, "c")
	c, err := q.Consume(t.Context(), "PENSTOCK_NET_0", "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, q, "PENSTOCK_NET_0", "a", 10)
	next(t, c)
	if err := q.js.DeleteConsumer(t.Context(), "PENSTOCK_NET_0", "c"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Next(t.Context())
	if !isNotFound(err) {
		t.Fatalf("error is %v", err)
	}
}

// TestStaleBuffer: what waited in the buffer beyond the ack wait is with the
// server again, and is not handed out at its old attempt.
func TestStaleBuffer(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{})
	q := openTuned(t, Config{Conn: s, Durability: Process}, quick)
	ensure(t, q, "PENSTOCK_NET_0", 1<<20)
	const ackWait = 400 * time.Millisecond
	if err := q.EnsureConsumer(t.Context(), "PENSTOCK_NET_0", queue.ConsumerConfig{Name: "c", AckWait: ackWait}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		publish(t, q, "PENSTOCK_NET_0", fmt.Sprint(i), 10)
	}
	c, err := q.Consume(t.Context(), "PENSTOCK_NET_0", "c", queue.ConsumeOptions{MaxMessages: 3})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "all in the buffer", func() bool {
		r := c.(*reader)
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.buf) == 3
	})
	time.Sleep(ackWait) // the passing of time is the subject
	for range 3 {
		d := next(t, c)
		if d.Attempt() < 2 {
			t.Fatalf("%s was handed out at attempt %d", d.Message().ID, d.Attempt())
		}
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStatusBeforeMessages: a replicated consumer says that a pull is fulfilled
// before its messages are sent. They are waited for, by the next pull and by
// Close, else more than the bound is pulled, and what comes after Close is lost
// until its ack wait.
func TestStatusBeforeMessages(t *testing.T) {
	t.Parallel()
	const n, batch = 12, 4
	var held []op // guarded by the proxy
	var direct atomic.Bool
	q := through(t, Config{}, func(p *proxy, c *conn, toServer bool, o op) bool {
		switch {
		case direct.Load():
		case isPull(toServer, o) && len(held) > 0:
			t.Errorf("a pull while %d messages are under way", len(held))
		case isDelivery(toServer, o):
			held = append(held, o)
			time.AfterFunc(50*time.Millisecond, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, o := range held {
					c.toClient(o.line + "\r\n" + string(o.payload))
				}
				held = nil
			})
			return false
		}
		return true
	})
	const stream = "PENSTOCK_NET_0"
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: stream, MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"reads", "closes"} {
		if err := q.EnsureConsumer(t.Context(), stream, queue.ConsumerConfig{Name: name, AckWait: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		publish(t, q, stream, fmt.Sprint(i), 10)
	}
	consume := func(name string) *reader {
		t.Helper()
		c, err := q.Consume(t.Context(), stream, name, queue.ConsumeOptions{MaxMessages: batch})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() }) // Close is idempotent
		return c.(*reader)
	}
	r := consume("closes")
	until(t, "the status is here, and no message", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.pull.ended && r.pull.open && len(r.buf) == 0
	})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = consume("reads")
	for i := range n {
		if d := next(t, r); d.Sequence() != uint64(i+1) || d.Attempt() != 1 || d.Ack() != nil {
			t.Fatalf("sequence %d at attempt %d, want %d", d.Sequence(), d.Attempt(), i+1)
		}
	}
	direct.Store(true)
	r = consume("closes")
	for seen := map[uint64]bool{}; len(seen) < n; {
		d := next(t, r)
		seen[d.Sequence()] = true
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}
