package worker

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/ship"
)

// deadLetterTimeout bounds the wait for the dead-letter stream; the message is
// given back when it passes.
const deadLetterTimeout = 30 * time.Second

// buryDamaged moves a message that no record can be made of to the dead-letter
// stream, as it lies in the queue.
func (l *lane) buryDamaged(h *held, r *record.Record, err error) {
	letter := deadletter.Letter{Reason: deadletter.ReasonDamaged, Detail: err.Error(), Destination: l.to.Name}
	l.burial(h, []letterOf{{letter, r.Items}}, func(ctx context.Context, _ int) error {
		return deadletter.PublishRaw(ctx, l.w.o.Queue, topology.DeadLetters, deadletter.OriginOf(h), h.Message(), letter)
	})
}

// bury moves what is dead of a message to the dead-letter stream, the rest of it
// having been taken.
func (l *lane) bury(h *held, r *record.Record, dead []ship.Dead) {
	letters := make([]letterOf, len(dead))
	for i, d := range dead {
		letters[i] = letterOf{deadletter.Letter{Reason: d.Reason.Reason, Code: d.Code, Detail: d.Detail, Destination: l.to.Name, FirstAt: h.past.failed}, d.Record.Items}
	}
	l.burial(h, letters, func(ctx context.Context, i int) error {
		return deadletter.Publish(ctx, l.w.o.Queue, topology.DeadLetters, deadletter.OriginOf(h), dead[i].Record, dead[i].Part(h.part), letters[i].Letter)
	})
}

// letterOf so many items.
type letterOf struct {
	deadletter.Letter
	items int
}

// burial publishes letters and settles their message, or gives it back when one
// is not confirmed. It ends the claim: exports go on meanwhile.
func (l *lane) burial(h *held, letters []letterOf, publish func(ctx context.Context, i int) error) {
	h.send.noAnswer()
	if h.merged && !h.handed { // the others do not wait for it
		h.handed = true
		l.w.working.Go(func() {
			defer h.rest()
			defer h.release()
			l.burial(h, letters, publish)
		})
		return
	}
	switch err := l.to.slots.takeGrave(l.w.work); {
	case errors.Is(err, errPostponed):
		l.postpone(h)
		return
	case err != nil:
		l.giveUp(h)
		return
	}
	defer l.to.slots.graves.Release(1)
	h.release()
	ctx, cancel := context.WithTimeout(l.w.work, deadLetterTimeout)
	defer cancel()
	if h.past.letters != len(letters) {
		h.past.buried, h.past.letters = 0, len(letters)
	}
	for i := h.past.buried; i < len(letters); i++ {
		if err := publish(ctx, i); err != nil {
			l.notBuried(h, letters[i].Letter, err)
			return
		}
		h.past.buried++
	}
	dead := 0
	for _, letter := range letters {
		dead += letter.items
		l.to.metrics.deadLetters.WithLabelValues(l.to.Name, letter.Reason).Inc()
		l.to.metrics.dead[l.signal].Add(float64(letter.items))
		if l.to.said.due("dead letter " + letter.Reason + letter.Code) {
			l.log.Error("items moved to the dead-letter stream", "sequence", h.Sequence(), "items", letter.items, "of", h.items,
				"reason", letter.Reason, "code", letter.Code, "detail", letter.Detail)
		}
	}
	l.settled(h, dead)
}

func (l *lane) notBuried(h *held, letter deadletter.Letter, err error) {
	if l.w.work.Err() != nil {
		l.giveUp(h)
		return
	}
	l.to.metrics.deadLetterFailures.Inc()
	l.to.metrics.retries.Inc()
	if l.to.said.due("no dead letter") {
		l.log.Error("cannot dead-letter a message; it stays in the queue and is tried again", "sequence", h.Sequence(), "reason", letter.Reason, "error", err)
	}
	h.giveBack(l.backoff(h, 1))
}
