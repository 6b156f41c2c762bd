package worker

import (
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/worker/ship"
)

// Bounds of what is remembered of messages that were given back, for one
// destination: messages, and ranges of their items. A message that is forgotten
// is exported whole when it comes again: its items may arrive twice, and are
// counted as such.
const (
	memoMessages = 16 << 10
	memoRanges   = 64 << 10
)

// past is what this process knows of the earlier turns of a message.
type past struct {
	progress ship.Progress
	route    *route    // by whose conditions progress counts items
	attempt  int       // the last that it gave back
	failed   time.Time // for the first time; zero: it did not
	cut      bool      // it is counted as split or bisected
	// doubt: a turn ended and nobody knows whether the destination took the
	// items.
	doubt bool
	// buried is how many of its letters are confirmed, and letters how many it has.
	// They are the same at each turn, for they are written when everything is
	// decided.
	buried, letters int
	// done: everything of it was taken, or is in a confirmed letter, and its ack
	// is not known to have arrived. It is counted, and only the ack is repeated.
	done bool
	// Items of all turns: taken, rejected by partial successes, and of those
	// taken the ones that were sent in doubt.
	delivered, rejected, possible int
}

// memo remembers messages between their turns. The zero value is ready.
type memo struct {
	mu     sync.Mutex
	of     map[place]kept // mu
	ranges int            // mu; sum of sizes
}

type kept struct {
	past
	size int // of its progress
}

// keep remembers a message that is given back.
func (m *memo) keep(p place, what past) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked(p)
	if m.of == nil {
		m.of = make(map[place]kept)
	}
	size := what.progress.Size()
	for other := range m.of { // any of them
		if len(m.of) < memoMessages && m.ranges+size <= memoRanges {
			break
		}
		m.forgetLocked(other)
	}
	m.of[p] = kept{what, size}
	m.ranges += size
}

// recall is what is known of a message that comes for that attempt. It is a copy:
// when the ack wait of a message ends although it is being exported, two turns of
// it run beside each other, and what one of them decides is not what the other did.
func (m *memo) recall(p place, attempt int) past {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, known := m.of[p]
	k.doubt = k.doubt || !known || k.attempt != attempt-1
	k.progress = k.progress.Clone()
	return k.past
}

// forget a message that is settled.
func (m *memo) forget(p place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked(p)
}

func (m *memo) forgetLocked(p place) {
	m.ranges -= m.of[p].size
	delete(m.of, p)
}
