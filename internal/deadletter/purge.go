package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Purger is what purging takes of a queue.
type Purger interface {
	Reader
	Purge(ctx context.Context, stream string, seq uint64) error
	RemoveMessage(ctx context.Context, stream string, seq uint64) error
}

// Purged is one letter that an operator removes.
type Purged struct {
	// ID is the letter's for ever, so that whoever records it twice counts it
	// once.
	ID     string `json:"id"`
	Letter Info   `json:"letter"`
}

// Recorder keeps what was purged, for the ledger.
type Recorder interface {
	// Purged records letters, at most MaxBatch, that are about to be removed. It
	// returns when they are recorded; after an error nothing of them is removed.
	// Letters that were recorded before, as their ID tells, are not to be
	// counted again: they are those of the last batch before a crash, or of one
	// that could not be removed. The slice is the recorder's until it returns.
	Purged(ctx context.Context, letters []Purged) error
}

// MaxBatch is how many letters are recorded and removed at a time.
const MaxBatch = 256

const (
	// removals at a time, each of which waits for the queue to write.
	parallelRemovals = 8
	// removeTimeout bounds the removal of a batch that was recorded.
	removeTimeout = 30 * time.Second
)

// Purge removes the letters that a filter picks, and returns how many of which
// kinds they were. They are gone for good. With dryRun they are counted alone.
// progress, if not nil, is told how many are done. Letters that come meanwhile
// are left alone; Filter.UpTo keeps it to what an operator has seen.
//
// Each batch is recorded first and removed then, so that a crash between leaves
// letters that are recorded as purged and still there: more than was accepted,
// never a loss. The same purge again removes them, and their ids keep the record
// from counting them twice. A batch that was recorded is removed also when ctx
// ends meanwhile.
//
// A letter that another removed in the same moment, a redrive or another purge,
// is not counted in what is returned. When all letters up to a sequence are
// picked they are removed at once; else one by one, which the stream must have
// been made for (queue.StreamConfig.Removable).
//
// After an error the summary has what was removed until then.
func Purge(ctx context.Context, q Purger, stream string, f Filter, dryRun bool, rec Recorder, progress func(n int)) (Summary, error) {
	p := purge{q: q, stream: stream, rec: rec, progress: progress}
	err := p.run(ctx, f, dryRun)
	if err != nil && !dryRun && p.done.total.Letters > 0 {
		err = fmt.Errorf("%w; %d letters were purged before", err, p.done.total.Letters)
	}
	return p.done.sum(), err
}

type purge struct {
	q        Purger
	stream   string
	rec      Recorder
	progress func(n int)

	batch []Purged
	// prefix: what is in the batch is all that is stored up to its last letter.
	prefix bool
	// removable: the stream has been found to be.
	removable bool
	done      tally
}

func (p *purge) run(ctx context.Context, f Filter, dryRun bool) error {
	if err := f.Validate(); err != nil {
		return err
	}
	all, err := p.entries(ctx, f)
	if err != nil {
		return fmt.Errorf("purge dead letters of %s: %w", p.stream, err)
	}
	for e, err := range all {
		if err != nil {
			return fmt.Errorf("purge dead letters of %s: %w", p.stream, err)
		}
		i, _ := Decode(e) // the problem is in it
		match := f.Match(i)
		switch {
		case dryRun:
			if match {
				p.done.letter(i)
			}
			continue
		case match:
			p.batch = append(p.batch, Purged{ID: fmt.Sprintf("%s-%d", p.stream, i.Sequence), Letter: i})
		case p.prefix: // ends here
			if err := p.flush(ctx); err != nil {
				return err
			}
			p.prefix = false
		}
		if len(p.batch) == MaxBatch {
			if err := p.flush(ctx); err != nil {
				return err
			}
		}
	}
	return p.flush(ctx)
}

// entries are those of Read, and tells whether they begin with the first.
func (p *purge) entries(ctx context.Context, f Filter) (all func(func(queue.Entry, error) bool), err error) {
	if len(f.Sequences) > 0 {
		return named(ctx, p.q, p.stream, f.Sequences, ReadOptions{}), nil
	}
	s, err := bounds(ctx, p.q, p.stream, f, 0)
	if err != nil {
		return nil, err
	}
	p.prefix = s.first
	return browse(ctx, p.q, p.stream, s, false), nil
}

// flush records the batch and removes it.
func (p *purge) flush(ctx context.Context) error {
	if len(p.batch) == 0 {
		return nil
	}
	if err := p.check(ctx); err != nil {
		return err
	}
	first, last := p.batch[0].Letter.Sequence, p.batch[len(p.batch)-1].Letter.Sequence
	if err := p.rec.Purged(ctx, p.batch); err != nil {
		return fmt.Errorf("record %d dead letters, %d to %d, as purged: %w; they are not removed", len(p.batch), first, last, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	if err := p.remove(ctx, last); err != nil {
		return fmt.Errorf("remove dead letters %d to %d: %w; they are recorded as purged and may be there still: purge them again", first, last, err)
	}
	p.batch = p.batch[:0]
	if p.progress != nil {
		p.progress(int(p.done.total.Letters))
	}
	return nil
}

// check finds a stream that single letters cannot be removed from before they
// are recorded.
func (p *purge) check(ctx context.Context) error {
	if p.prefix || p.removable {
		return nil
	}
	if err := p.q.RemoveMessage(ctx, p.stream, 0); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("remove single dead letters: %w", err)
	}
	p.removable = true
	return nil
}

func (p *purge) remove(ctx context.Context, last uint64) error {
	if p.prefix {
		if err := p.q.Purge(ctx, p.stream, last); err != nil {
			return err
		}
		for _, l := range p.batch {
			p.done.letter(l.Letter)
		}
		return nil
	}
	removed := make([]bool, len(p.batch))
	var g errgroup.Group
	g.SetLimit(parallelRemovals)
	for n, l := range p.batch {
		g.Go(func() error {
			err := p.q.RemoveMessage(ctx, p.stream, l.Letter.Sequence)
			removed[n] = err == nil
			if errors.Is(err, queue.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	for n, l := range p.batch {
		if removed[n] {
			p.done.letter(l.Letter)
		}
	}
	return err
}
