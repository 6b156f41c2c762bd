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
	attempt  int       // the last that it gave back
	failed   time.Time // for the first time; zero: it did not
	// doubt: a turn ended and nobody knows whether the destination took the
	// items.
	doubt bool
	// Items of all turns: taken, rejected by partial successes, and of those
	// taken the ones that were sent in doubt.
	delivered, rejected, possible int
}

// memo remembers messages between their turns. The zero value is ready.
type memo struct {
	mu     sync.Mutex
	of     map[place]past // mu
	ranges int            // mu; sum of the sizes of progresses
}

// keep remembers a message that is given back.
func (m *memo) keep(p place, what past) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked(p)
	if m.of == nil {
		m.of = make(map[place]past)
	}
	for other := range m.of { // any of them
		if len(m.of) < memoMessages && m.ranges+what.progress.Size() <= memoRanges {
			break
		}
		m.forgetLocked(other)
	}
	m.of[p] = what
	m.ranges += what.progress.Size()
}

// recall is what is known of a message that comes for that attempt.
func (m *memo) recall(p place, attempt int) past {
	m.mu.Lock()
	defer m.mu.Unlock()
	what, known := m.of[p]
	what.doubt = what.doubt || !known || what.attempt != attempt-1
	return what
}

// forget a message that is settled.
func (m *memo) forget(p place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked(p)
}

func (m *memo) forgetLocked(p place) {
	if what, ok := m.of[p]; ok {
		m.ranges -= what.progress.Size()
		delete(m.of, p)
	}
}
