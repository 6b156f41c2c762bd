package tap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tap"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

func nothing() {}

func TestFollowsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.put(otlp.Traces, "", spans("shop", "before"))
		l := follow(t.Context(), r.options(), nothing)
		synctest.Wait()
		r.put(otlp.Traces, "", spans("shop", "a", "b"))
		synctest.Wait()
		r.publish(topology.Stream(otlp.Logs, 1), r.message(otlp.Logs, "", logs("shop", "c")))
		synctest.Wait()
		r.put(otlp.Metrics, "", points("shop", "d"))
		synctest.Wait()
		if got := names(l.seen()); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Errorf("%q", got)
		}
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestBeginsWhereAsked(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*tap.Options)
		want string
	}{
		"live":       {func(*tap.Options) {}, "new"},
		"oldest":     {func(o *tap.Options) { o.Oldest = true }, "0 1 2 3 4 new"},
		"since":      {func(o *tap.Options) { o.Since = time.Now().Add(-150 * time.Second) }, "3 4 new"},
		"long ago":   {func(o *tap.Options) { o.Since = time.Now().Add(-time.Hour) }, "0 1 2 3 4 new"},
		"the future": {func(o *tap.Options) { o.Since = time.Now().Add(time.Second) }, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				for n := range 5 {
					r.put(otlp.Traces, "", spans("shop", fmt.Sprint(n)))
					time.Sleep(time.Minute)
				}
				l := follow(t.Context(), r.options(c.edit), nothing)
				synctest.Wait()
				r.put(otlp.Traces, "", spans("shop", "new"))
				synctest.Wait()
				if got := strings.Join(names(l.seen()), " "); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
				if err := l.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestOnceEndsWithWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		if got := r.stored(); got != nil {
			t.Errorf("empty streams: %v", got)
		}
		r.put(otlp.Logs, "", logs("shop", "a"))
		r.put(otlp.Logs, "", logs("shop", "b"))
		o := r.options()
		o.Oldest, o.Once = true, true
		var got []string
		r.must(tap.Run(t.Context(), o, func(i tap.Item) error {
			r.put(otlp.Logs, "", logs("shop", "while it runs"))
			got = append(got, i.Name)
			return nil
		}))
		if !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%q", got)
		}
		// With nothing asked of the past there is nothing to show.
		o.Oldest = false
		r.must(tap.Run(t.Context(), o, func(i tap.Item) error { t.Error(i); return nil }))
	})
}

// A tap that takes half a second for each of ten messages a second does not lag
// behind for ever, and what it shows and what it skips add up.
func TestSkipsAheadWhenTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		o := r.options(func(o *tap.Options) { o.MaxBehind = 8 })
		l := follow(t.Context(), o, func() { time.Sleep(500 * time.Millisecond) })
		synctest.Wait()
		const sent = 300
		for n := range sent {
			r.put(otlp.Traces, "", spans("shop", fmt.Sprint(n+1)))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		var shown, skipped, next uint64 = 0, 0, 1
		for _, i := range l.seen() {
			if i.Sequence != next {
				t.Fatalf("%+v, want sequence %d", i, next)
			}
			switch i.Kind {
			case tap.KindSkipped:
				if i.Messages <= 8 || !strings.Contains(i.Problem, "faster") {
					t.Errorf("%+v", i)
				}
				skipped += i.Messages
				next += i.Messages
			default:
				shown++
				next++
			}
		}
		if shown+skipped != sent || shown < 30 || skipped < 150 {
			t.Errorf("shown %d, skipped %d of %d", shown, skipped, sent)
		}
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
}

// What was asked for of the past is shown however long it takes.
func TestDoesNotSkipThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for n := range 50 {
			r.put(otlp.Traces, "", spans("shop", fmt.Sprint(n)))
		}
		o := r.options(func(o *tap.Options) { o.Oldest, o.MaxBehind = true, 4 })
		l := follow(t.Context(), o, func() { time.Sleep(2 * time.Second) })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := l.seen(); len(got) != 50 || slices.ContainsFunc(got, func(i tap.Item) bool { return i.Kind != tap.KindItem }) {
			t.Errorf("%d: %v", len(got), got)
		}
		// Once it has come up, it does.
		for range 50 {
			r.put(otlp.Traces, "", spans("shop", "late"))
		}
		time.Sleep(10 * time.Minute)
		if got := l.seen(); got[len(got)-1].Kind != tap.KindSkipped {
			t.Errorf("%+v", got[len(got)-1])
		}
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestTellsOfWhatWasPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, all := range []bool{false, true} {
			r := newRig(t, 1)
			for n := range 10 {
				r.put(otlp.Traces, "", spans("shop", fmt.Sprint(n+1)))
			}
			o := r.options(func(o *tap.Options) { o.Oldest, o.Once = true, true })
			var got []tap.Item
			r.must(tap.Run(t.Context(), o, func(i tap.Item) error {
				if got = append(got, i); len(got) == 2 {
					to := uint64(7)
					if all {
						to = 10
					}
					return r.q.Purge(t.Context(), i.Stream, to)
				}
				return nil
			}))
			want, messages := 6, uint64(5)
			if all {
				want, messages = 3, 8
			}
			if len(got) != want || got[2].Kind != tap.KindSkipped || got[2].Messages != messages || got[2].Sequence != 3 || !strings.Contains(got[2].Problem, "purged") {
				t.Errorf("purged all: %v, %+v", all, got)
			}
		}
	})
}

// The end of a tap that waits for what was purged can also be a message behind
// the end.
func TestOnceWithNothingLeftAndMoreToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for range 3 {
			r.put(otlp.Traces, "", spans("shop", "a"))
		}
		o := r.options(func(o *tap.Options) { o.Oldest, o.Once = true, true })
		var got []tap.Item
		r.must(tap.Run(t.Context(), o, func(i tap.Item) error {
			if got = append(got, i); len(got) == 1 {
				r.put(otlp.Traces, "", spans("shop", "b"))
				return r.q.Purge(t.Context(), i.Stream, 3)
			}
			return nil
		}))
		if len(got) != 2 || got[1].Messages != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestEnds(t *testing.T) {
	r := newRig(t, 1)
	r.put(otlp.Traces, "", spans("shop", "a", "b", "c"))
	r.put(otlp.Logs, "", logs("shop", "d"))
	calls := 0
	o := r.options(func(o *tap.Options) { o.Oldest = true })
	if err := tap.Run(t.Context(), o, func(tap.Item) error { calls++; return errStop }); err != errStop || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	o.Limit, calls = 2, 0
	if err := tap.Run(t.Context(), o, func(tap.Item) error { calls++; return nil }); err != nil || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
	// ctx ends in the middle of a message.
	ctx, cancel := context.WithCancel(t.Context())
	o.Limit, o.Signals, calls = 0, []otlp.Signal{otlp.Traces}, 0
	if err := tap.Run(ctx, o, func(tap.Item) error { calls++; cancel(); return nil }); err != nil || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if err := tap.Run(ctx, o, func(tap.Item) error { t.Error("shown"); return nil }); err != nil {
		t.Error(err)
	}
}

func TestRefusesOptions(t *testing.T) {
	r := newRig(t, 1)
	for name, edit := range map[string]func(*tap.Options){
		"two beginnings":    func(o *tap.Options) { o.Oldest, o.Since = true, time.Now() },
		"negative limit":    func(o *tap.Options) { o.Limit = -1 },
		"negative bytes":    func(o *tap.Options) { o.MaxMessageBytes = -1 },
		"negative behind":   func(o *tap.Options) { o.MaxBehind = -1 },
		"an unknown signal": func(o *tap.Options) { o.Signals = []otlp.Signal{otlp.NumSignals} },
	} {
		if err := tap.Run(t.Context(), r.options(edit), func(tap.Item) error { return nil }); err == nil || !strings.HasPrefix(err.Error(), "tap: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := r.options()
	o.Plan.Shards = 2 // of which one does not exist
	err := tap.Run(t.Context(), o, func(tap.Item) error { return nil })
	if !errors.Is(err, queue.ErrNotFound) || !strings.Contains(err.Error(), "_1") {
		t.Errorf("%v", err)
	}
}

// broken is an archive one call of which fails.
type broken struct {
	queue.Archive
	browse, next, close error
	looks               int // SequenceAt that succeed; negative: all
}

func (b *broken) SequenceAt(ctx context.Context, stream string, at time.Time) (uint64, error) {
	if b.looks == 0 {
		return 0, errStop
	}
	b.looks--
	return b.Archive.SequenceAt(ctx, stream, at)
}

func (b *broken) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	if b.browse != nil {
		return nil, b.browse
	}
	br, err := b.Archive.Browse(ctx, stream, o)
	return &brokenBrowser{br, b}, err
}

type brokenBrowser struct {
	queue.Browser
	b *broken
}

func (b *brokenBrowser) Next(ctx context.Context) (queue.Entry, error) {
	if b.b.next != nil {
		return queue.Entry{}, b.b.next
	}
	return b.Browser.Next(ctx)
}

func (b *brokenBrowser) Close() error { return errors.Join(b.Browser.Close(), b.b.close) }

func TestErrorsOfTheQueueNameTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, b := range map[string]*broken{
			"look":                 {looks: 0},
			"first":                {looks: 1},
			"browse":               {looks: -1, browse: errStop},
			"next":                 {looks: -1, next: errStop},
			"close":                {looks: -1, close: errStop},
			"keep up":              {looks: 2},
			"look after the purge": {looks: 2},
		} {
			r := newRig(t, 1)
			r.put(otlp.Traces, "", spans("shop", "a"))
			r.put(otlp.Traces, "", spans("shop", "b"))
			b.Archive = r.q
			o := r.options(func(o *tap.Options) {
				o.Archive, o.Signals, o.Oldest = b, []otlp.Signal{otlp.Traces}, true
				o.Once = name == "close" || strings.HasSuffix(name, "purge")
			})
			err := tap.Run(t.Context(), o, func(i tap.Item) error {
				if o.Once && name != "close" {
					return r.q.Purge(t.Context(), i.Stream, 2)
				}
				time.Sleep(2 * time.Second)
				return nil
			})
			if !errors.Is(err, errStop) || !strings.Contains(err.Error(), "PENSTOCK_TRACES_0") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
