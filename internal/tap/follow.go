package tap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

const (
	// lookEvery is the time between two looks at how far a stream has come.
	lookEvery = time.Second
	// patience of a tap with Once, before it asks whether what it waits for was
	// purged.
	patience = 2 * time.Second
)

// follower reads one stream. Only the goroutine of its run uses it.
type follower struct {
	tap *tap
	stream
	browser queue.Browser
	next    uint64 // the sequence that is to come; 0: any
	end     uint64 // with Once: the first sequence that is not wanted
	// live: it has once come up with the stream. What was asked for of the past
	// is never skipped.
	live   bool
	looked time.Time
}

func (f *follower) run(ctx context.Context) (err error) {
	if err = f.begin(ctx); err != nil {
		return fmt.Errorf("tap stream %s: %w", f.name, err)
	}
	if f.tap.o.Once && f.next >= f.end {
		return nil
	}
	if err := f.open(ctx); err != nil {
		return err
	}
	defer func() {
		if failed := f.close(); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	for {
		e, more, err := f.read(ctx)
		if err != nil || !more {
			return err
		}
		if f.next != 0 && e.Sequence > f.next {
			if err := f.skipped(f.next, e.Sequence, "they were purged before they could be read"); err != nil {
				return err
			}
		}
		f.next = e.Sequence + 1
		if err := f.tap.show(ctx, f.stream, e); err != nil {
			return err
		}
		if f.tap.o.Once && f.next >= f.end {
			return nil
		}
		if err := f.keepUp(ctx); err != nil {
			return err
		}
	}
}

// last is the sequence of the last message, 0 when there never was one.
func (f *follower) last(ctx context.Context) (uint64, error) {
	seq, err := f.tap.o.Archive.SequenceAt(ctx, f.name, time.Now().AddDate(100, 0, 0))
	return seq - 1, err
}

// oldest is the sequence of the first message that is stored, or of the next one.
func (f *follower) oldest(ctx context.Context) (uint64, error) {
	return f.tap.o.Archive.SequenceAt(ctx, f.name, time.Unix(0, 0))
}

// begin finds where to begin and, with Once, to end.
func (f *follower) begin(ctx context.Context) error {
	last, err := f.last(ctx)
	if err != nil {
		return err
	}
	f.end = last + 1
	f.looked = time.Now()
	switch o := &f.tap.o; {
	case o.Oldest:
		f.next, err = f.oldest(ctx)
	case !o.Since.IsZero():
		f.next, err = f.tap.o.Archive.SequenceAt(ctx, f.name, o.Since)
	default:
		f.next, f.live = f.end, true
	}
	return err
}

func (f *follower) open(ctx context.Context) (err error) {
	if f.browser, err = f.tap.o.Archive.Browse(ctx, f.name, queue.BrowseOptions{From: f.next}); err != nil {
		return fmt.Errorf("tap stream %s from sequence %d: %w", f.name, f.next, err)
	}
	return nil
}

func (f *follower) close() error {
	if f.browser == nil {
		return nil
	}
	if err := f.browser.Close(); err != nil {
		return fmt.Errorf("tap stream %s: %w", f.name, err)
	}
	return nil
}

// read returns the next message; more is false when, with Once, there is none.
func (f *follower) read(ctx context.Context) (e queue.Entry, more bool, err error) {
	for {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if f.tap.o.Once {
			wait, cancel = context.WithTimeout(ctx, patience)
		}
		e, err = f.browser.Next(wait)
		timeout := err != nil && wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case timeout: // purged up to the end?
			first, err := f.oldest(ctx)
			if err != nil {
				return e, false, fmt.Errorf("tap stream %s: %w", f.name, err)
			}
			if first >= f.end {
				return e, false, f.skipped(f.next, f.end, "they were purged before they could be read")
			}
		case err != nil:
			return e, false, fmt.Errorf("tap stream %s at sequence %d: %w", f.name, f.next, err)
		case f.tap.o.Once && e.Sequence >= f.end:
			return e, false, f.skipped(f.next, f.end, "they were purged before they could be read")
		default:
			return e, true, nil
		}
	}
}

// keepUp skips to the end of the stream when the tap has fallen too far behind.
func (f *follower) keepUp(ctx context.Context) error {
	if f.tap.o.Once || time.Since(f.looked) < lookEvery {
		return nil
	}
	last, err := f.last(ctx)
	if err != nil {
		return fmt.Errorf("tap stream %s: %w", f.name, err)
	}
	f.looked = time.Now()
	if last < f.next+uint64(f.tap.o.MaxBehind) {
		f.live = true
		return nil
	}
	if !f.live {
		return nil
	}
	if err := f.close(); err != nil {
		return err
	}
	f.browser = nil
	from := f.next
	f.next = last + 1
	if err := f.open(ctx); err != nil {
		return err
	}
	return f.skipped(from, f.next, "the stream is faster than the tap; filter more, or write to a file")
}

// skipped tells of the messages from one sequence to before another.
func (f *follower) skipped(from, to uint64, why string) error {
	return f.tap.tell(Item{Kind: KindSkipped, Signal: f.signal, Stream: f.name, Sequence: from, Messages: to - from, Problem: why})
}
