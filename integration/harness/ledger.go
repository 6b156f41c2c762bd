package harness

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// Ledger is the clients' side of the account: what was sent and what was
// acknowledged.
type Ledger struct {
	Seed uint64

	mu      sync.Mutex // guards everything below
	sources map[uint32]*account
	counts  Counts
	frozen  bool
	late    [][3]uint64 // source and range of what was acknowledged after Freeze
}

// Counts are of requests but for the items.
type Counts struct {
	Sent, Acked, Refused, Unknown int
	AckedItems                    uint64
	Errors                        map[string]int // by code, of all tries
}

// account of one source: its sequences below next were sent, and those in acked
// acknowledged, each range [from, to), in order and not touching.
type account struct {
	next  uint64
	acked [][2]uint64
}

// NewLedger begins an account. The seed is printed with every failure.
func NewLedger(seed uint64) *Ledger {
	return &Ledger{Seed: seed, sources: map[uint32]*account{}, counts: Counts{Errors: map[string]int{}}}
}

func (l *Ledger) account(source uint32) *account {
	a := l.sources[source]
	if a == nil {
		a = &account{}
		l.sources[source] = a
	}
	return a
}

// sent notes a request before its first byte leaves.
func (l *Ledger) sent(source uint32, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(source).next = to
	l.counts.Sent++
}

// acked notes a success that holds for the whole request.
func (l *Ledger) acked(source uint32, from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen {
		l.late = append(l.late, [3]uint64{uint64(source), from, to})
		l.counts.Unknown++
		return
	}
	a := l.account(source)
	l.counts.Acked++
	l.counts.AckedItems += to - from
	if n := len(a.acked); n > 0 && a.acked[n-1][1] == from {
		a.acked[n-1][1] = to
		return
	}
	a.acked = append(a.acked, [2]uint64{from, to})
}

// failed notes one try. final says that there will be no other, known that the
// answer was a refusal: nothing may have been stored, but something may.
func (l *Ledger) failed(code string, final, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Errors[code]++
	switch {
	case !final:
	case known:
		l.counts.Refused++
	default:
		l.counts.Unknown++
	}
}

// Freeze is the moment at which the machine's power goes. Here the processes run
// on over a dead disk, and syncs that are under way then return success without
// having done their work (ext4's shutdown does that: 96 times of 314, tried
// with nothing but files). On a real machine nobody would have heard the answers
// that follow: acknowledgements from now on count as of unknown outcome.
func (l *Ledger) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = true
}

// Late is how many items were acknowledged after Freeze, and how many of these
// did not arrive.
func (l *Ledger) Late(s *Sink) (items, missing uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.late {
		n, _ := s.missing(uint32(r[0]), r[1], r[2])
		items += r[2] - r[1]
		missing += n
	}
	return items, missing
}

// Counts until now.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.Errors = map[string]int{}
	for k, v := range l.counts.Errors {
		c.Errors[k] = v
	}
	return c
}

// Acked calls fn with each run of acknowledged items, [from, to) of a source.
func (l *Ledger) Acked(fn func(source uint32, from, to uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for source, a := range l.sources {
		for _, r := range a.acked {
			fn(source, r[0], r[1])
		}
	}
}

// Missing is the number of acknowledged items that have not arrived, and where.
func (l *Ledger) Missing(s *Sink) (items uint64, where []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for source, a := range l.sources {
		for _, r := range a.acked {
			n, first := s.missing(source, r[0], r[1])
			if n > 0 {
				where = append(where, fmt.Sprintf("source %d: %d of sequences %d to %d, the first is %d", source, n, r[0], r[1]-1, first))
			}
			items += n
		}
	}
	slices.Sort(where)
	return items, where
}

// invented is the number of items that arrived and were never sent.
func (l *Ledger) invented(s *Sink) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sent uint64
	for source, a := range l.sources {
		n, _ := s.missing(source, 0, a.next)
		sent += a.next - n
	}
	return s.Arrived().Distinct - sent
}

// Check waits until everything acknowledged has arrived, and fails the test
// when it does not within the patience, or when something arrived that was never
// sent. It returns the number of items that arrived again.
func (l *Ledger) Check(t testing.TB, s *Sink, patience time.Duration) (duplicates uint64) {
	t.Helper()
	deadline := time.Now().Add(patience)
	items, where := l.Missing(s)
	for items > 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		items, where = l.Missing(s)
	}
	got, c := s.Arrived(), l.Counts()
	if items > 0 {
		t.Errorf("seed %d: %d of %d acknowledged items did not arrive within %s: %q", l.Seed, items, c.AckedItems, patience, where[:min(len(where), 8)])
	}
	if n := l.invented(s); n > 0 {
		t.Errorf("seed %d: %d items arrived that nobody sent", l.Seed, n)
	}
	t.Logf("seed %d: %d requests sent, %d acknowledged with %d items, %d refused, %d of unknown outcome; %d items arrived, %d of them again; errors %v",
		l.Seed, c.Sent, c.Acked, c.AckedItems, c.Refused, c.Unknown, got.Items, got.Duplicates, c.Errors)
	return got.Duplicates
}
