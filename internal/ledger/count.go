package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// entryPatience is how long a message that should be there may take to come.
const entryPatience = time.Second

// share of what is left of a look's time: counting takes half of it at most, for
// what was counted is only kept if there is time to save it.
func share(ctx context.Context, part int) time.Time {
	end, bounded := ctx.Deadline()
	if !bounded {
		return time.Now().Add(patience)
	}
	return time.Now().Add(time.Until(end) / time.Duration(part))
}

// maxLook bounds the messages counted of a stream in one look, so that one that
// is far behind keeps no lease waiting.
const maxLook = 200_000

// count brings the books up to date.
func (s *state) count(ctx context.Context) error {
	all, err := s.all(ctx)
	if err != nil {
		return err
	}
	s.streams, s.lags = map[string]queue.StreamState{}, false
	for stream := range s.books {
		if _, ok := all[stream]; !ok {
			s.alarm("stream %s is not there any more", stream)
		}
	}
	for i, stream := range slices.Sorted(maps.Keys(all)) {
		st, err := s.q.StreamState(ctx, stream)
		if errors.Is(err, queue.ErrNotFound) {
			if s.books[stream] != nil {
				s.alarm("stream %s is not there any more", stream)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", stream, err)
		}
		s.streams[stream] = st
		b := s.books[stream]
		if b == nil {
			b = &kept[book]{key: keyStream + stream, v: newBook(stream, all[stream].String())}
			s.books[stream] = b
		}
		if err := s.readStream(ctx, b, st, share(ctx, 2*(len(all)-i))); err != nil {
			return fmt.Errorf("count stream %s: %w", stream, err)
		}
		s.lags = s.lags || b.v.Counted < st.LastSeq
	}
	return nil
}

// readStream counts what came since, until a time: the rest is counted at the next
// look.
func (s *state) readStream(ctx context.Context, k *kept[book], st queue.StreamState, until time.Time) error {
	b := &k.v
	if b.Sparse == nil {
		b.begin(st)
	}
	if st.LastSeq < b.Counted || st.FirstSeq < b.First {
		s.madeAnew(b, st)
	}
	if err := s.foreign(ctx, b, st); err != nil {
		return err
	}
	b.purged(st.FirstSeq)
	reader := s.readers[st.Name]
	if reader == nil && st.LastSeq > st.FirstSeq-1 {
		var err error
		if reader, err = s.q.Browse(ctx, st.Name, queue.BrowseOptions{From: b.rewind() + 1, HeadersOnly: true}); err != nil {
			return err
		}
		s.readers[st.Name] = reader
	}
	b.skip(st.FirstSeq - 1)
	for n := 0; n < maxLook && (b.Counted < st.LastSeq || b.behind) && time.Now().Before(until); n++ {
		e, err := within(ctx, reader, entryPatience)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			if b.behind { // the last ones were removed, or a server lags
				b.forget()
			}
			return nil
		case err != nil:
			delete(s.readers, st.Name)
			return errors.Join(err, reader.Close())
		}
		b.add(e)
	}
	return nil
}

func within(ctx context.Context, b queue.Browser, d time.Duration) (queue.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return b.Next(ctx)
}

// madeAnew goes on with a stream that ends before what was counted of it, or begins
// before what was purged. What was accepted stays accepted, and what no
// destination had of what is gone is missing.
func (s *state) madeAnew(b *book, st queue.StreamState) {
	s.broken("stream %s held %d to %d, and %d was counted: it was made anew, or lost its end", b.Stream, st.FirstSeq, st.LastSeq, b.Counted)
	if r := s.readers[b.Stream]; r != nil {
		_ = r.Close() // nothing depends on it
		delete(s.readers, b.Stream)
	}
	for key, x := range s.begins {
		if strings.HasPrefix(key, b.Stream+" ") {
			_ = x.reader.Close() // nothing depends on it
			delete(s.begins, key)
		}
	}
	if st.FirstSeq >= b.First && st.Messages > 0 && !st.FirstTime.After(b.StoredAt) {
		lost := b.cut(st.LastSeq)
		for _, a := range s.accounts {
			a.v.lost(b.Stream, lost)
		}
		return
	}
	for _, a := range s.accounts {
		a.v.end(b.Stream, b)
	}
	b.begin(st)
}

// maxBroken bounds what is remembered of streams that broke.
const maxBroken = 8

// broken is an alarm until an operator knows of it.
func (s *state) broken(format string, args ...any) {
	l := &s.looks.v
	l.Broken = append(l.Broken, fmt.Sprintf(format, args...)+", seen at "+time.Now().UTC().Format(time.RFC3339))
	l.Broken = l.Broken[max(0, len(l.Broken)-maxBroken):]
}

// foreign notices what somebody else than the janitor purged. What a destination
// is not known to have had of it is evidence that it may be missing.
func (s *state) foreign(ctx context.Context, b *book, st queue.StreamState) error {
	if st.FirstSeq <= b.First {
		return nil
	}
	var promised uint64
	switch v, err := s.q.Load(ctx, keyPurge+st.Name); {
	case err == nil:
		if err := json.Unmarshal(v.Data, &promised); err != nil {
			return fmt.Errorf("read %s: %w", v.Key, err)
		}
	case !errors.Is(err, queue.ErrNotFound):
		return err
	}
	if st.FirstSeq-1 <= promised {
		return nil
	}
	for name, a := range s.accounts {
		r := a.v.Readers[st.Name]
		if r == nil || r.Floor >= st.FirstSeq-1 {
			continue
		}
		upTo, _, _ := b.upTo(st.FirstSeq - 1)
		if lost := upTo.minus(r.Settled).Items; lost > 0 {
			s.looks.v.row(row{name, r.Signal}).Evidence += lost
		}
		if gap := less(st.FirstSeq-1, b.Counted); gap > 0 {
			s.broken("stream %s was purged up to %d by somebody else than the janitor, %d messages of it before they were counted; destination %s had it up to %d",
				st.Name, st.FirstSeq-1, gap, name, r.Floor)
		}
	}
	return nil
}
