package worker

import (
	"sync"
	"time"
)

// sayEvery is how often the log repeats what goes on; metrics count each.
const sayEvery = time.Minute

// saidKeys bounds the memory; codes of failures are the destination's words.
const saidKeys = 256

// said remembers what the log was told. The zero value is ready.
type said struct {
	mu sync.Mutex
	at map[string]time.Time // mu
}

// due tells whether key is to be said now: it is new, or was said long ago.
func (s *said) due(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if last, ok := s.at[key]; ok && now.Sub(last) < sayEvery {
		return false
	}
	if s.at == nil || len(s.at) >= saidKeys {
		s.at = make(map[string]time.Time)
	}
	s.at[key] = now
	return true
}

// outageMin is how long a destination takes nothing before its return is said.
const outageMin = 10 * time.Second

// outage is the time since a destination last took something.
type outage struct {
	mu    sync.Mutex
	since time.Time // mu; of the first failure after a success
	taken uint64    // mu; successes ever
}

// failure tells how much the destination has taken so far, so that two failures
// tell whether it took something in between.
func (o *outage) failure() (taken uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = time.Now()
	}
	return o.taken
}

// count is how much the destination has taken so far.
func (o *outage) count() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taken
}

// success ends the outage and tells how long it was, and whether to say it.
func (o *outage) success() (after time.Duration, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken++
	if o.since.IsZero() {
		return 0, false
	}
	after = time.Since(o.since)
	o.since = time.Time{}
	return after, after >= outageMin
}
