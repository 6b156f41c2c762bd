package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// scanEvery is how often the dead letters are read as a whole at most, which is
// done when some were removed.
const scanEvery = 30 * time.Second

// readLetters counts new dead letters, takes notes over, and finds letters that
// vanished without one.
func (s *state) readLetters(ctx context.Context) error {
	st, err := s.q.StreamState(ctx, topology.DeadLetters)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", topology.DeadLetters, err)
	}
	l := &s.letters.v
	if st.LastSeq < l.Counted { // made anew: what it held is gone
		l.Counted, s.scanned = st.FirstSeq-1, time.Time{}
		l.Recorded = nil
	}
	born := s.letters.born()
	from, found := l.Counted, map[uint64]bool{}
	if st.LastSeq > l.Counted {
		o := deadletter.ReadOptions{After: l.Counted}
		for letter, err := range deadletter.Read(ctx, s.q, topology.DeadLetters, deadletter.Filter{UpTo: st.LastSeq}, o) {
			if err != nil {
				return err
			}
			l.add(letter.Info, born && s.before(letter.Info))
			if !born {
				found[letter.Sequence] = true
			}
		}
		l.Counted = max(l.Counted, st.LastSeq)
	}
	if err := s.readNotes(ctx, st.FirstSeq, func(seq uint64) bool { return seq > from && !found[seq] }); err != nil {
		return err
	}
	if l.messages() != st.Messages && time.Since(s.scanned) >= scanEvery {
		if err := s.scan(ctx); err != nil {
			return err
		}
	}
	if l.messages() == st.Messages {
		if lost := l.lost(); lost.Items > 0 {
			s.alarm("dead letters of %d items were removed from stream %s and not by penstock dlq: nobody knows what became of them", lost.Items, topology.DeadLetters)
		}
	}
	return nil
}

// before tells whether a letter is of what no account is answerable for: it died
// before the ledger began.
func (s *state) before(i deadletter.Info) bool {
	a := s.accounts[i.Destination]
	if a == nil {
		return true
	}
	base, known := a.v.base(i.Stream)
	return !known || i.OriginSequence <= base
}

// scan reads what the dead-letter stream holds.
func (s *state) scan(ctx context.Context) error {
	l := &s.letters.v
	held := map[cell]Sum{}
	for found, err := range deadletter.Read(ctx, s.q, topology.DeadLetters, deadletter.Filter{UpTo: l.Counted}, deadletter.ReadOptions{}) {
		if err != nil {
			return err
		}
		c := l.cell(found.Info)
		held[c] = held[c].plus(sumOf(found.Info))
	}
	l.Held, s.scanned = held, time.Now()
	return nil
}

// readNotes takes over what is told of letters that are removed. As long as there
// are notes nothing is forgotten of what was taken over.
func (s *state) readNotes(ctx context.Context, first uint64, unseen func(uint64) bool) error {
	values, err := s.q.List(ctx, keyNote)
	if err != nil {
		return fmt.Errorf("list the notes of removed dead letters: %w", err)
	}
	if len(values) == 0 {
		s.letters.v.Recorded.below(first)
	}
	for _, v := range values {
		var n note
		if err := json.Unmarshal(v.Data, &n); err != nil {
			return fmt.Errorf("read %s: %w", v.Key, err)
		}
		if !s.letters.v.record(n, unseen) {
			s.done = append(s.done, v)
		}
	}
	return nil
}

// forgive takes over that an operator knows of what is missing.
func (s *state) forgive(ctx context.Context) error {
	v, err := s.q.Load(ctx, keyForgive)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", keyForgive, err)
	}
	s.done = append(s.done, v)
	if s.looks.v.Forgave == v.Revision {
		return nil
	}
	s.looks.v.Forgave = v.Revision
	for _, shown := range s.view.v.Signals {
		d := s.looks.v.row(row{shown.Destination, shown.Signal})
		d.Forgiven += max(shown.Missing, d.Missing)
		d.Missing, d.Evidence = 0, 0
	}
	s.looks.v.Broken = nil
	for c, w := range s.letters.v.Written {
		gone := s.letters.v.Purged[c].plus(s.letters.v.Redriven[c])
		if lost := w.minus(gone).minus(s.letters.v.Held[c]); lost.Items > 0 {
			s.letters.v.Purged[c] = s.letters.v.Purged[c].plus(lost)
		}
	}
	return nil
}
