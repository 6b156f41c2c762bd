package alerts

import (
	"cmp"
	"sync"
	"time"
)

// What has ended is remembered for a while, and within bounds: beyond them the oldest
// goes. The stream has it for longer.
const (
	// ResolvedFor is how long an alert is known after it resolved. It is also how far
	// behind an evaluation may be to let something fire: of what is older nobody knows
	// any more whether it has ended since.
	ResolvedFor = 2 * time.Hour
	// OwedFor is how long a receiver that was told of an alert is owed its end.
	OwedFor = 24 * time.Hour
	// ToldFor is how long it is known that a receiver was told of the end of all.
	ToldFor = 10 * time.Minute
	// ClosedFor is how long an incident is known once it cannot be reopened, and a
	// silence once it has ended.
	ClosedFor = 2 * time.Hour

	// MaxEnded bounds each: the resolved alerts, the closed incidents, the groups that
	// are owed an end.
	MaxEnded = 20_000
	// MaxSilences bounds the silences, ended ones among them.
	MaxSilences = 2_000
)

// State is the fold of a Log. Its methods are safe for concurrent use; what they
// return is the caller's, but for Labels, which nobody changes. Apply is total: an
// event that does not fit (an ack of a closed incident) changes nothing and is counted.
//
// It depends on the entries alone, and not on when or in how many pieces they were
// read: every replica has the same.
type State struct {
	mu      sync.RWMutex // guards everything below
	at      uint64
	stored  time.Time // when the entry at at was
	lives   uint64    // how often the log began anew
	caught  bool
	counts  Counts
	changed chan struct{}

	alerts    map[Key]*Alert
	incidents map[string]*Incident
	silences  map[string]*Silence
	sent      map[ClaimKey]Sent

	sources map[source]map[Key]bool // the alerts of a group of rules
	groups  map[group]map[string]bool
	told    map[Key]map[ClaimKey]bool // who was told that an alert fires

	resolved aging[Key]
	closed   aging[string]
	ended    aging[string] // silences
	owed     aging[ClaimKey]
}

// source is a group of rules, group one of alerts that are one incident.
type (
	source struct{ tenant, file, group string }
	group  struct{ tenant, group string }
)

// Counts are of what was applied.
type Counts struct {
	// Misfits changed nothing, as they do not fit what is; Unknown are of kinds that
	// this version does not know.
	Misfits, Unknown uint64
}

// NewState is that of an empty log.
func NewState() *State {
	s := &State{changed: make(chan struct{})}
	s.clear()
	return s
}

// clear forgets all. mu is held.
func (s *State) clear() {
	s.alerts, s.incidents, s.silences, s.sent = map[Key]*Alert{}, map[string]*Incident{}, map[string]*Silence{}, map[ClaimKey]Sent{}
	s.sources, s.groups, s.told = map[source]map[Key]bool{}, map[group]map[string]bool{}, map[Key]map[ClaimKey]bool{}
	s.resolved, s.closed, s.ended, s.owed = newAging(cmp.Compare[Key]), newAging(cmp.Compare[string]), newAging(cmp.Compare[string]), newAging(ClaimKey.compare)
}

// At is the position of the last entry.
func (s *State) At() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.at
}

// CaughtUp tells whether it had once all that the log had.
func (s *State) CaughtUp() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.caught
}

// Counts are those since NewState.
func (s *State) Counts() Counts {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.counts
}

// Changed is closed at the next change, At among it. Whoever waits for something gets
// it before looking.
func (s *State) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// position is At, and which life of the log it is of.
func (s *State) position() (at, lives uint64, changed <-chan struct{}) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.at, s.lives, s.changed
}

// Alert gives one that fires or has resolved a while ago.
func (s *State) Alert(k Key) (Alert, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.alerts[k]
	if a == nil {
		return Alert{}, false
	}
	return *a, true
}

// Incident gives one that goes on or has closed a while ago.
func (s *State) Incident(id string) (Incident, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := s.incidents[id]
	if i == nil {
		return Incident{}, false
	}
	return i.clone(), true
}

// Sent is what a group was told last, if it still concerns it: the second plane of
// dedup. At is when the log stored that it was sent.
func (s *State) Sent(k ClaimKey) (Sent, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.sent[k]
	return v.Clone(), ok
}
