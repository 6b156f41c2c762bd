package intake

import (
	"context"
	"slices"
	"sync"
	"time"
)

// marks are the watermarks of the streams.
type marks struct {
	spread time.Duration

	mu      sync.Mutex // guards what follows
	at      []time.Time
	changed chan struct{} // closed when one rises; nil while nobody waits
}

func newMarks(streams int, spread time.Duration) *marks {
	return &marks{spread: spread, at: make([]time.Time, streams)}
}

// raise lets the mark of a stream rise to t; it never falls.
func (m *marks) raise(stream int, t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !t.After(m.at[stream]) {
		return
	}
	m.at[stream] = t
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

func (m *marks) least() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.MinFunc(m.at, time.Time.Compare)
}

// wait lets a stream go on to a message stored at t, when no other one is further
// behind than the spread. The stream's own mark is just below t, so of several that
// wait the hindmost goes on.
func (m *marks) wait(ctx context.Context, stream int, t time.Time) error {
	for {
		m.mu.Lock()
		wait := false
		for i, at := range m.at {
			wait = wait || i != stream && at.Before(t.Add(-m.spread))
		}
		if !wait {
			m.mu.Unlock()
			return nil
		}
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
