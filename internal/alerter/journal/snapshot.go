package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// snapshotKey is the value that names the first sequence of the last snapshot.
const snapshotKey = "alerts/snapshot"

// snapshotTries is how often a snapshot is begun anew because others appended.
const snapshotTries = 5

var errBehind = errors.New("the state has not all of the log")

// last is the first sequence of the last snapshot that is named and still there; 0:
// there is none.
func (j *Journal) last(ctx context.Context) (uint64, error) {
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	v, err := j.q.Load(once, snapshotKey)
	if errors.Is(err, queue.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("where the last snapshot is: %w", err)
	}
	seq, err := strconv.ParseUint(string(v.Data), 10, 64)
	if err != nil || seq == 0 {
		return 0, nil // of somebody else: what is in the stream counts
	}
	m, _, err := j.q.Get(once, topology.Alerts, seq)
	if errors.Is(err, queue.ErrNotFound) {
		return 0, nil // of a stream that was lost
	}
	if err != nil {
		return 0, fmt.Errorf("the snapshot at %d: %w", seq, err)
	}
	if n, _ := partOf(m); n != 1 {
		return 0, nil
	}
	return seq, nil
}

// snapshot stores what the state holds, and gives its first sequence. Others may append
// meanwhile: then it is begun anew.
func (j *Journal) snapshot(ctx context.Context) (uint64, error) {
	for try := 1; ; try++ {
		if !j.o.State.CaughtUp() {
			return 0, errBehind
		}
		snap, at := j.o.State.SnapshotAt()
		err := j.write(ctx, snap, at)
		if err == nil {
			return at + 1, nil
		}
		if !errors.Is(err, alerts.ErrConflict) || try == snapshotTries {
			return 0, err
		}
		if err := j.o.State.Reached(ctx, at+1); err != nil {
			return 0, fmt.Errorf("%w: it stays at %d: %w", errBehind, at, err)
		}
	}
}

// write stores a snapshot behind last and names it. One that is not whole is passed
// over by those who read.
func (j *Journal) write(ctx context.Context, snap alerts.Snapshot, last uint64) error {
	parts, err := encodeSnapshot(snap)
	if err != nil {
		return err
	}
	for n, part := range parts {
		m := message(kindSnapshot, part)
		m.Header[headerPart], m.Header[headerCodec] = fmt.Sprintf("%d/%d", n+1, len(parts)), snapshotCodec
		if _, err := j.publish(ctx, last+uint64(n), m); err != nil {
			return fmt.Errorf("part %d of %d of a snapshot behind %d: %w", n+1, len(parts), last, err)
		}
	}
	j.o.Metrics.snapshots.Inc()
	j.o.Logger.Debug("alerts: a snapshot was stored", "first", last+1, "parts", len(parts), "alerts", len(snap.Alerts), "incidents", len(snap.Incidents))
	return j.name(ctx, last+1)
}

// name lets the value name a snapshot, unless it names a later one of this stream.
func (j *Journal) name(ctx context.Context, seq uint64) error {
	now, err := j.last(ctx)
	if err != nil || now >= seq {
		return err
	}
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if _, err := j.q.Save(once, snapshotKey, strconv.AppendUint(nil, seq, 10), queue.AnyRevision); err != nil {
		return fmt.Errorf("name the snapshot at %d: %w", seq, err)
	}
	return nil
}
