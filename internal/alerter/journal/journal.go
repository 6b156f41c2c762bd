package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Queue is what the log needs of one.
type Queue interface {
	queue.Publisher
	queue.Provisioner
	queue.Archive
	queue.Store
}

const (
	tryTimeout = 5 * time.Second        // of one try or question
	retryPause = 250 * time.Millisecond // between tries
	// patience is how long an append is tried, well within the window in which the
	// stream knows its message id.
	patience = 30 * time.Second
	// reserve of the stream's bytes is for snapshots, in per cent.
	reserve = 10
	// stateFor is how long the size of the stream is believed.
	stateFor = 5 * time.Second
)

// Options are what a Journal works with.
type Options struct {
	Config alerting.History
	// State is what follows this log in this process: snapshots are of it.
	State   *alerts.State
	Metrics *Metrics
	Logger  *slog.Logger
}

// Journal is an alerts.Log. It is safe for concurrent use.
type Journal struct {
	q Queue
	o Options

	mu    sync.Mutex // guards everything below
	made  bool       // the stream, or it was there
	sized time.Time
	room  bool
}

var _ alerts.Log = (*Journal)(nil)

// New makes the log of a queue. It does nothing before it is used, and there is
// nothing to close.
func New(q Queue, o Options) *Journal { return &Journal{q: q, o: o} }

// Append implements alerts.Log. It ends within 30 s.
func (j *Journal) Append(ctx context.Context, last uint64, events []alerts.Event) (uint64, error) {
	at, err := j.append(ctx, last, events)
	switch {
	case err == nil:
		j.o.Metrics.entries.Inc()
	case errors.Is(err, alerts.ErrConflict):
		j.o.Metrics.conflicts.Inc()
	case errors.Is(err, alerts.ErrFull):
		j.o.Metrics.failures.WithLabelValues(reasonFull).Inc()
	case errors.Is(err, alerts.ErrTooLarge):
		j.o.Metrics.failures.WithLabelValues(reasonTooLarge).Inc()
	default:
		j.o.Metrics.failures.WithLabelValues(reasonUnavailable).Inc()
	}
	return at, err
}

func (j *Journal) append(ctx context.Context, last uint64, events []alerts.Event) (uint64, error) {
	body, err := alerts.EncodeEvents(events)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := j.checkRoom(ctx); err != nil {
		return 0, err
	}
	return j.publish(ctx, last, message(kindEvents, body))
}

// message is one of a new id.
func message(kind string, body []byte) *queue.Message {
	return &queue.Message{ID: "alerts-" + rand.Text(), Header: map[string]string{headerVersion: version, headerKind: kind}, Body: body}
}

// publish stores a message behind last, and repeats what has an unknown outcome as it
// was until ctx ends. Its errors are those of an alerts.Log.
func (j *Journal) publish(ctx context.Context, last uint64, m *queue.Message) (uint64, error) {
	for {
		err := j.ensure(ctx)
		if err == nil {
			once, cancel := context.WithTimeout(ctx, tryTimeout)
			_, err = j.q.PublishNext(once, topology.Alerts, m, last)
			cancel()
		}
		switch {
		case err == nil:
			return last + 1, nil
		case errors.Is(err, queue.ErrConflict):
			return 0, fmt.Errorf("%w: %w", alerts.ErrConflict, err)
		case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrNoRoom):
			return 0, fmt.Errorf("%w: %w", alerts.ErrFull, err)
		case errors.Is(err, queue.ErrTooLarge):
			return 0, fmt.Errorf("%w: %w", alerts.ErrTooLarge, err)
		case errors.Is(err, queue.ErrClosed):
			return 0, fmt.Errorf("%w: %w", alerts.ErrUnavailable, err)
		case errors.Is(err, queue.ErrNotFound):
			j.forget()
		}
		if !pause(ctx, retryPause) {
			return 0, fmt.Errorf("%w: %w", alerts.ErrUnavailable, err)
		}
	}
}

// ensure makes the stream, once.
func (j *Journal) ensure(ctx context.Context) error {
	j.mu.Lock()
	made := j.made
	j.mu.Unlock()
	if made {
		return nil
	}
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if err := topology.EnsureAlerts(once, j.q); err != nil {
		return err
	}
	j.mu.Lock()
	j.made = true
	j.mu.Unlock()
	return nil
}

// forget: the stream is gone, and is to be made again.
func (j *Journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.made, j.sized = false, time.Time{}
}

// checkRoom is ErrFull where only the reserve is left. What cannot be asked is for the
// append to find out.
func (j *Journal) checkRoom(ctx context.Context) error {
	j.mu.Lock()
	room, known := j.room, time.Since(j.sized) < stateFor
	j.mu.Unlock()
	if !known {
		st, err := j.state(ctx)
		if err != nil {
			return nil
		}
		j.mu.Lock()
		j.sized, j.room = time.Now(), st.MaxBytes <= 0 || st.Bytes <= uint64(st.MaxBytes)/100*(100-reserve)
		room = j.room
		j.mu.Unlock()
	}
	if !room {
		return fmt.Errorf("stream %s is above %d %% of its bytes: %w; give it more, or shorten history.retention", topology.Alerts, 100-reserve, alerts.ErrFull)
	}
	return nil
}

// resized: what was known of the size is not so any more.
func (j *Journal) resized() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sized = time.Time{}
}

func (j *Journal) state(ctx context.Context) (queue.StreamState, error) {
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	st, err := j.q.StreamState(once, topology.Alerts)
	if errors.Is(err, queue.ErrNotFound) {
		j.forget()
	}
	return st, err
}

// pause waits; false when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// End implements alerts.Log. It ends within 5 s.
func (j *Journal) End(ctx context.Context) (uint64, error) {
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	st, err := j.q.StreamState(once, topology.Alerts)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("%w: %w", alerts.ErrUnavailable, err)
	}
	return st.LastSeq, nil
}
