package audit

import (
	"slices"
	"strconv"
	"time"
)

// Bounds of what refusals add to the stream. Who has no credential must neither
// fill it nor drive out what operators did: on and on, a process stores about one
// and a fifth refusal a minute, half a megabyte a day.
const (
	maxKeys    = 256
	maxReasons = 16
	mergeFor   = time.Minute     // like the first are counted for so long
	restEvery  = 5 * time.Minute // what has no key of its own is told
	burst      = 120.0           // first ones at a time
	refill     = time.Minute     // for each further one
)

// likeness is what refusals have in common that are merged.
type likeness struct{ action, listener, subject, network, reason string }

// merged are refusals since the first of them was stored.
type merged struct {
	like     Event // the last one
	onePeer  bool
	count    int
	from, to time.Time
	ends     time.Time
}

func (m *merged) add(e Event) {
	n := max(1, e.Count)
	if m.count == 0 {
		m.from, m.onePeer = e.At, true
	}
	m.onePeer = m.onePeer && (m.count == 0 || m.like.Peer == e.Peer)
	m.like, m.to = e, e.At
	m.count += n
}

// event stands for all of them.
func (m *merged) event() Event {
	e := m.like
	if !m.onePeer {
		e.Peer = network(e.Peer)
	}
	e.At, e.Count = m.to, m.count
	e.Details = append(slices.Clone(e.Details), span(m.from, m.to)...)
	return e
}

func span(from, to time.Time) []Detail {
	return []Detail{{"first", from.UTC().Format(time.RFC3339)}, {"last", to.UTC().Format(time.RFC3339)}}
}

// limiter merges refusals: the first of its kind passes, those that follow are
// counted. The Log's mutex guards it.
type limiter struct {
	keys     map[likeness]*merged
	tokens   float64
	refilled time.Time

	rest     map[string]int // of what has no key, by reason
	restFrom time.Time
	restTo   time.Time
	restEnds time.Time
}

func newLimiter(now time.Time) *limiter {
	return &limiter{keys: map[likeness]*merged{}, tokens: burst, refilled: now, rest: map[string]int{}}
}

// take tells whether e is to be stored now. If not it is counted.
func (l *limiter) take(e Event, now time.Time) bool {
	k := likeness{clean(e.Action, maxText), clean(e.Listener, maxText), clean(e.Subject, maxText), network(e.Peer), clean(e.Reason, maxText)}
	if m := l.keys[k]; m != nil {
		m.add(e)
		return false
	}
	if len(l.keys) < maxKeys && l.token(now) {
		l.keys[k] = &merged{ends: now.Add(mergeFor)}
		return true
	}
	l.spill(k.reason, max(1, e.Count), e.At, e.At, now)
	return false
}

func (l *limiter) token(now time.Time) bool {
	l.tokens = min(burst, l.tokens+float64(now.Sub(l.refilled))/float64(refill))
	l.refilled = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// spill counts what gets no entry of its own.
func (l *limiter) spill(reason string, n int, from, to, now time.Time) {
	if len(l.rest) == 0 {
		l.restFrom, l.restEnds = from, now.Add(restEvery)
	}
	if from.Before(l.restFrom) {
		l.restFrom = from
	}
	if to.After(l.restTo) {
		l.restTo = to
	}
	if _, known := l.rest[reason]; !known && len(l.rest) >= maxReasons {
		reason = "other"
	}
	l.rest[reason] += n
}

// due gives what is to be stored of what was counted; all of it at the end.
func (l *limiter) due(now time.Time, end bool) (events []Event) {
	for k, m := range l.keys {
		if !end && now.Before(m.ends) {
			continue
		}
		delete(l.keys, k)
		switch {
		case m.count == 0:
		case end || l.token(now):
			events = append(events, m.event())
		default:
			l.spill(k.reason, m.count, m.from, m.to, now)
		}
	}
	slices.SortFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	if len(l.rest) > 0 && (end || !now.Before(l.restEnds)) {
		e := Event{At: l.restTo, Action: Authenticate, Outcome: Refused, Reason: "several", Details: span(l.restFrom, l.restTo)}
		for _, reason := range sortedKeys(l.rest) {
			e.Count += l.rest[reason]
			e.Details = append(e.Details, Detail{reason, strconv.Itoa(l.rest[reason])})
		}
		events = append(events, e)
		clear(l.rest)
		l.restTo = time.Time{}
	}
	return events
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
