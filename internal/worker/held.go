package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// drainAckTimeout bounds the wait for the confirmation of an ack at the end.
const drainAckTimeout = 5 * time.Second

// held is a delivery that is kept alive until it is settled.
type held struct {
	queue.Delivery
	l      *lane
	period time.Duration
	send   sender
	past   past
	// Of its record, once that is read.
	tenant          string
	items, rawBytes int
	whole           bool // it is not to be cut now
	// Of its items: those that the destination does not want, and of these the ones
	// that nobody wants. part names the rest as a part of the message, "" when it
	// is all of it.
	unwanted, unrouted int
	part               string

	// claim is that of lead, which is h itself unless h is merged; it is released
	// when the last of holders has let go of it.
	lead    *held
	claim   claim
	holders atomic.Int32
	letGo   bool
	merged  bool // its goroutine has others too
	handed  bool // to a goroutine of its own

	mu    sync.Mutex
	timer *time.Timer // mu; nil when no more is to be extended
}

func (h *held) place() place { return place{h.Stream(), h.Sequence()} }

// release lets go of the claim. It may be called again.
func (h *held) release() {
	if h.letGo {
		return
	}
	h.letGo = true
	if h.lead.holders.Add(-1) == 0 {
		h.lead.claim.release()
	}
}

// keepAlive extends the ack wait every period until the delivery is settled.
func (h *held) keepAlive(now bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(h.period, h.tick)
	if now {
		h.extendLocked()
	}
}

func (h *held) tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer == nil {
		return
	}
	h.extendLocked()
	h.timer.Reset(h.period)
}

func (h *held) extendLocked() {
	if err := h.Extend(); err != nil && h.l.to.said.due("extend") {
		h.l.log.Warn("extending the ack wait failed: the message may be exported twice", "sequence", h.Sequence(), "error", err)
	}
}

// rest ends keepAlive. No Extend is running when it returns.
func (h *held) rest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}

// ack settles a message that is done, and tells whether that went well. A lost
// ack means a duplicate at most, never a loss; one that cannot be sent is repeated while
// the ack wait lasts.
func (h *held) ack() bool {
	h.rest()
	if !h.l.w.draining() {
		if h.Ack() == nil {
			return true
		}
	}
	patience := time.Duration(h.l.w.o.Config.AckWait) / 2
	if h.l.w.draining() {
		patience = min(patience, drainAckTimeout)
	}
	ctx, cancel := context.WithTimeout(h.l.w.settle, patience)
	defer cancel()
	if err := h.AckSync(ctx); err != nil {
		h.l.to.metrics.ackFailures.Inc()
		if h.l.to.said.due("ack") {
			h.l.log.Warn("ack failed: the message comes again, and is exported again if another worker gets it", "sequence", h.Sequence(), "error", err)
		}
		return false
	}
	return true
}

// giveBack returns the delivery to the queue, to come again after a time, and
// remembers what became of it so far.
func (h *held) giveBack(after time.Duration) {
	h.rest()
	h.past.attempt = h.Attempt()
	h.l.to.memo.keep(h.place(), h.past)
	if err := h.Retry(after); err != nil && h.l.to.said.due("give back") {
		h.l.log.Warn("giving a message back failed: it returns after worker.ack_wait", "sequence", h.Sequence(), "error", err)
	}
}
