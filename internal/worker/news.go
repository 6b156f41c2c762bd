package worker

import (
	"context"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
)

// newsKept is how long an answer of news is believed.
const newsKept = 250 * time.Millisecond

// news knows whether first deliveries are to be expected. Redeliveries that pass
// up a probe in their favour would else do so for nothing, with one attempt more
// for each: in an outage the queue hands out nothing new once as many messages
// as worker.max_ack_pending were given back.
type news struct {
	streams []string

	mu     sync.Mutex
	at     time.Time // mu
	answer bool      // mu
}

// expected asks the queue; where it gets no answer it is true.
func (n *news) expected(ctx context.Context, l *lane) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.at.IsZero() && time.Since(n.at) < newsKept {
		return n.answer
	}
	n.answer = n.ask(ctx, l)
	n.at = time.Now()
	return n.answer
}

func (n *news) ask(ctx context.Context, l *lane) bool {
	ctx, cancel := context.WithTimeout(ctx, firstsOnly)
	defer cancel()
	for _, stream := range n.streams {
		c, err := l.w.o.Queue.ConsumerState(ctx, stream, topology.Durable(l.to.Name))
		if err != nil || c.Pending > 0 && c.AckPending < l.w.o.Config.MaxAckPending {
			return true
		}
	}
	return false
}
