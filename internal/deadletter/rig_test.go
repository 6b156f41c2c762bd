package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// dead makes a removable stream for letters.
func dead(t testing.TB, q queue.Queue) {
	t.Helper()
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: "DEAD", MaxBytes: 16 << 20, Removable: true}); err != nil {
		t.Fatal(err)
	}
}

// both runs a test on both queues.
func both(t *testing.T, f func(t *testing.T, q queue.Queue)) {
	for name, open := range map[string]func(*testing.T) queue.Queue{
		"memory":    func(*testing.T) queue.Queue { return memory.New() },
		"jetstream": realQueue,
	} {
		t.Run(name, func(t *testing.T) {
			q := open(t)
			dead(t, q)
			f(t, q)
		})
	}
}

// letter publishes the letter of message n of a stream.
func letter(t testing.TB, q queue.Publisher, n int, s otlp.Signal, tenant, destination, reason string) {
	t.Helper()
	o := deadletter.Origin{Stream: "PENSTOCK_X_0", Sequence: uint64(n), ID: fmt.Sprintf("01M%d", n), Attempts: 1}
	r := &record.Record{Signal: s, Tenant: tenant, Codec: "none", Items: n, RawBytes: n, Body: make([]byte, n)}
	if err := deadletter.Publish(t.Context(), q, "DEAD", o, r, "", deadletter.Letter{Reason: reason, Destination: destination}); err != nil {
		t.Fatal(err)
	}
}

// letters publishes n of them, with 1 to n items.
func letters(t testing.TB, q queue.Publisher, n int) {
	t.Helper()
	for i := range n {
		letter(t, q, i+1, otlp.Logs, "acme", "backend", "rejected")
	}
}

func remove(t testing.TB, q queue.Queue, sequences ...uint64) {
	t.Helper()
	for _, seq := range sequences {
		if err := q.RemoveMessage(t.Context(), "DEAD", seq); err != nil {
			t.Fatal(err)
		}
	}
}

func sequences(infos []deadletter.Info) []uint64 {
	out := []uint64{}
	for _, i := range infos {
		out = append(out, i.Sequence)
	}
	return out
}

// list wants these sequences of the letters after one.
func list(t testing.TB, q queue.Queue, f deadletter.Filter, limit int, after uint64, wantNext uint64, want ...uint64) {
	t.Helper()
	infos, next, err := deadletter.List(t.Context(), q, "DEAD", f, limit, after)
	if err != nil || next != wantNext || !slices.Equal(sequences(infos), want) && len(infos)+len(want) > 0 {
		t.Errorf("%d letters after %d of %+v: got %v, next %d, %v; want %v, next %d", limit, after, f, sequences(infos), next, err, want, wantNext)
	}
}

// book records what is purged, and counts each id once.
type book struct {
	mu      sync.Mutex // guards everything below
	letters map[string]deadletter.Info
	calls   []int // letters of each call
	before  func([]deadletter.Purged) error
}

func (b *book) Purged(_ context.Context, letters []deadletter.Purged) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.before != nil {
		if err := b.before(letters); err != nil {
			return err
		}
	}
	b.calls = append(b.calls, len(letters))
	if b.letters == nil {
		b.letters = map[string]deadletter.Info{}
	}
	for _, l := range letters {
		b.letters[l.ID] = l.Letter
	}
	return nil
}

var errBroken = errors.New("broken on purpose")

// faulty fails what it is told to, from some call on.
type faulty struct {
	queue.Queue
	mu    sync.Mutex
	fails map[string]int // mu, once in use; by operation: calls that succeed before
}

func (f *faulty) fault(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.fails[op]
	if !ok {
		return nil
	}
	f.fails[op] = n - 1
	if n > 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", op, errBroken)
}

func (f *faulty) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	if err := f.fault("state"); err != nil {
		return queue.StreamState{}, err
	}
	return f.Queue.StreamState(ctx, stream)
}

func (f *faulty) Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error) {
	if err := f.fault("get"); err != nil {
		return nil, time.Time{}, err
	}
	return f.Queue.Get(ctx, stream, seq)
}

func (f *faulty) SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	if err := f.fault("at"); err != nil {
		return 0, err
	}
	return f.Queue.SequenceAt(ctx, stream, t)
}

func (f *faulty) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	if err := f.fault("browse"); err != nil {
		return nil, err
	}
	b, err := f.Queue.Browse(ctx, stream, o)
	return faultyBrowser{b, f}, err
}

type faultyBrowser struct {
	queue.Browser
	f *faulty
}

func (b faultyBrowser) Next(ctx context.Context) (queue.Entry, error) {
	if err := b.f.fault("next"); err != nil {
		return queue.Entry{}, err
	}
	return b.Browser.Next(ctx)
}

func (f *faulty) RemoveMessage(ctx context.Context, stream string, seq uint64) error {
	if seq > 0 {
		if err := f.fault("remove"); err != nil {
			return err
		}
	}
	return f.Queue.RemoveMessage(ctx, stream, seq)
}

func (f *faulty) Purge(ctx context.Context, stream string, seq uint64) error {
	if err := f.fault("purge"); err != nil {
		return err
	}
	return f.Queue.Purge(ctx, stream, seq)
}
