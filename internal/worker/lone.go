package worker

import "sync"

// A message that keeps failing while its destination takes others waits longer
// and longer: after each loneSteps such failures by one retry.max more, up to
// loneMost times retry.max.
const (
	loneSteps = 5
	loneMost  = 10
)

// loneKeys bounds the memory; what is forgotten begins anew.
const loneKeys = 4096

// lone remembers the messages that fail while the destination takes others. The
// number of attempts does not tell them from those that sat out an outage. The
// zero value is ready.
type lone struct {
	mu sync.Mutex
	of map[place]loneFailures // mu
}

// place of a message in the queue.
type place struct {
	stream string
	seq    uint64
}

type loneFailures struct {
	n     int    // while others were taken
	taken uint64 // by the destination at the last failure
}

// failure counts one of the message, taken being what the destination has taken
// so far, and tells how many times retry.max the message may wait: once if the
// destination took nothing since its last failure.
func (l *lone) failure(p place, taken uint64) (times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, known := l.of[p]
	others := known && f.taken != taken
	if others {
		f.n++
	}
	f.taken = taken
	if l.of == nil || !known && len(l.of) >= loneKeys {
		l.of = make(map[place]loneFailures)
	}
	l.of[p] = f
	if !others {
		return 1
	}
	return f.times()
}

// alone tells whether a message that failed before fails again although the
// destination has taken others since.
func (l *lone) alone(p place, taken uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, known := l.of[p]
	return known && f.taken != taken
}

// times is what failure said last of a message while others were taken.
func (l *lone) times(p place) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[p].times()
}

// settled forgets a message.
func (l *lone) settled(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, p)
}

func (f loneFailures) times() int { return min(1+f.n/loneSteps, loneMost) }
