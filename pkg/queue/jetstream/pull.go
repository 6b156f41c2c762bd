package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// pull is the one request for messages that may be open.
type pull struct {
	id         uint64
	open       bool
	batch, got int
	limited    bool      // it had a byte limit
	ended      bool      // the server has ended it; what it has sent may still be under way
	expires    time.Time // when the server ends it at the latest
	heard      time.Time // last sign of life
}

// waiting is why no pull is sent now; a delivery resets it.
type waiting struct {
	until    time.Time // backoff after an error
	errors   int
	tooLarge int // pulls in a row that ended because the next message did not fit
	idle     int // pulls in a row that expired empty
}

// pullLocked sends a pull if none is open and half of the buffer is free.
func (r *reader) pullLocked(now time.Time) {
	n := len(r.buf) - r.head
	if r.pull.open || r.closed || r.err != nil || !r.link.isUp() || now.Before(r.waiting.until) ||
		n > r.o.MaxMessages/2 || r.bytes > r.o.MaxBytes/2 {
		return
	}
	batch, limit := r.o.MaxMessages-n, r.o.MaxBytes-r.bytes
	switch {
	case r.headersOnly:
		limit = 0
	case r.waiting.tooLarge == 0:
	case n > 0:
		return // it may fit an empty buffer
	case r.waiting.tooLarge > 1:
		batch, limit = 1, 0 // it does not: better over the bound by one message than a stop for ever
	}
	r.pull = pull{id: r.pull.id + 1, open: true, batch: batch, limited: limit > 0,
		expires: now.Add(r.q.tune.pullExpires), heard: now}
	req := fmt.Appendf(nil, `{"batch":%d,"expires":%d,"idle_heartbeat":%d`, batch, r.q.tune.pullExpires, r.q.tune.heartbeat)
	if limit > 0 {
		req = fmt.Appendf(req, `,"max_bytes":%d`, limit)
	}
	req = append(req, '}')
	err := r.link.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+r.stream+"."+r.consumer,
		r.inbox+"."+strconv.FormatUint(r.pull.id, 10), req)
	if err != nil {
		r.pull.open = false
		r.backOffLocked(now)
	}
}

// loseLocked ends an ordered reader; it is false for another.
func (r *reader) loseLocked() bool {
	if r.ordered && r.err == nil {
		r.err = errLost
		wake(r.ready)
	}
	return r.ordered
}

func (r *reader) backOffLocked(now time.Time) {
	if r.loseLocked() {
		return
	}
	t := r.q.tune
	r.waiting.until = now.Add(jitter(min(t.backoffMax, t.backoffMin<<min(r.waiting.errors, 16))))
	r.waiting.errors++
	wake(r.check)
}

// statusLocked handles what the server says about a pull
// (nats-server server/consumer.go, processNextMsgRequest and nextWaiting).
func (r *reader) statusLocked(m *nats.Msg, now time.Time) {
	status, text := m.Header.Get("Status"), strings.ToLower(m.Header.Get("Description"))
	if status == "100" { // heartbeat
		return
	}
	if m.Subject != r.inbox+"."+strconv.FormatUint(r.pull.id, 10) || !r.pull.open {
		return // of a pull that was given up
	}
	// A replicated consumer sends a message when its replicas know of it, and a
	// status at once: the status may be here first. It tells what was left of the
	// batch; the rest is still to come, and no other pull is sent before.
	sent := r.pull.got
	if left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages")); err == nil {
		sent = max(sent, r.pull.batch-left)
	}
	end := func() {
		r.pull.batch, r.pull.ended, r.pull.open = sent, true, sent > r.pull.got
	}
	switch {
	case status == "408" || status == "404": // expired, or nothing there
		end()
		if sent == 0 {
			r.waiting.idle++
			wake(r.check)
		}
	case status == "409" && strings.Contains(text, "batch completed"):
		end()
	case status == "409" && strings.Contains(text, "message size exceeds"):
		end()
		if sent == 0 && r.pull.limited {
			if len(r.buf) == r.head && r.waiting.tooLarge > 0 {
				r.link.log.Warn("queue: a message is larger than a consumer's max bytes and is pulled alone",
					"stream", r.stream, "consumer", r.consumer, "max_bytes", r.o.MaxBytes)
			}
			r.waiting.tooLarge++
		}
	case status == "409" && (strings.Contains(text, "leadership change") || strings.Contains(text, "server shutdown")):
		r.pull.open = false // what was under way is delivered again
		r.backOffLocked(now)
	default: // 503 no responders, 409 consumer deleted, 409 exceeded max waiting, 400
		if r.waiting.errors == 0 && !r.ordered {
			r.link.log.Warn("queue: a pull was refused", "stream", r.stream, "consumer", r.consumer, "status", status, "reason", text)
		}
		r.pull.open = false
		r.backOffLocked(now)
		r.waiting.idle = 2 // ask at once whether the consumer still exists
	}
	r.pullLocked(now)
}

// run watches over the pull until Close.
func (r *reader) run() {
	defer close(r.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	live := r.link.alive()
	for {
		lost := live.Done()
		var back <-chan struct{}
		if live.Err() != nil {
			lost, back = nil, r.link.returned()
		}
		select {
		case <-r.ctx.Done():
			return
		case <-lost:
			r.abandon()
		case <-back:
			live = r.link.alive()
			r.abandon() // the new connection knows nothing of an old pull
		case <-r.check:
			if r.inspect() {
				return
			}
		case <-timer.C:
		}
		timer.Reset(r.watch(time.Now()))
	}
}

func (r *reader) abandon() {
	r.mu.Lock()
	r.pull.open = false
	r.loseLocked()
	r.mu.Unlock()
}

// watch gives up a pull without heartbeats or beyond its expiry, and sends the
// next when a backoff is over. It returns when to look again.
func (r *reader) watch(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := &r.pull; p.open {
		quiet := 2*r.q.tune.heartbeat + r.q.tune.heartbeat/2
		if p.ended { // it has no more heartbeats
			quiet = r.q.tune.heartbeat
		}
		silent := now.Sub(p.heard) > quiet
		if silent || now.After(p.expires.Add(2*r.q.tune.heartbeat)) {
			if r.waiting.errors == 0 && !r.ordered {
				r.link.log.Warn("queue: a pull has stalled and is made anew", "stream", r.stream, "consumer", r.consumer,
					"silent_for", now.Sub(p.heard).Round(time.Millisecond), "received", p.got, "of", p.batch)
			}
			p.open = false
			r.backOffLocked(now)
		}
	}
	r.pullLocked(now)
	next := r.q.tune.heartbeat / 4
	if pause := r.waiting.until.Sub(now); pause > 0 {
		next = min(next, pause+time.Millisecond)
	}
	return next
}

// inspect asks for the consumer after pulls that brought nothing. True: it is
// gone, for good. If messages could be delivered to it and two pulls in a row
// stayed empty, the subscription is made anew.
func (r *reader) inspect() (gone bool) {
	r.mu.Lock()
	idle := r.waiting.idle
	r.mu.Unlock()
	if idle < 2 {
		return false
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.q.cfg.PublishTimeout)
	defer cancel()
	// An answer that is lost with a connection must not hold up the next pull.
	defer context.AfterFunc(r.q.control.alive(), cancel)()
	defer context.AfterFunc(r.link.alive(), cancel)()
	info, err := r.q.consumerInfo(ctx, r.stream, r.consumer)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, queue.ErrNotFound):
		if r.err == nil {
			r.err = err
		}
		wake(r.ready)
		return true
	case err != nil:
		return false
	}
	r.waiting.idle = 0
	if r.ordered && info.NumPending > 0 && len(r.buf) == r.head {
		return r.loseLocked()
	}
	if info.NumPending > 0 && info.NumAckPending < info.Config.MaxAckPending && len(r.buf) == r.head {
		r.link.log.Warn("queue: a consumer delivers nothing although it could; subscribing anew",
			"stream", r.stream, "consumer", r.consumer, "pending", info.NumPending, "ack_pending", info.NumAckPending)
		old := r.sub
		if err := r.subscribeLocked(); err != nil {
			r.backOffLocked(time.Now())
			return false
		}
		if err := old.Drain(); err != nil {
			r.link.log.Debug("queue: drain of a stalled subscription", "error", err)
		}
		r.pull.open = false
	}
	return false
}
