package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// The bucket of small shared state, made when it is first needed.
const (
	StateBucket = "PENSTOCK_STATE"
	// StateBytes is what it may take, and what a server has to have room for
	// beside the streams.
	StateBytes = 16 << 20
)

// leases is what this process knows of leases. Holders write an entry anew to
// renew it, by compare-and-set on its revision: of two who think that a lease
// is free, one gets it.
//
// The time that the server stored an entry at is not looked at: it would have to
// be compared with a clock of this machine.
type leases struct {
	mu   sync.Mutex // one call at a time; guards everything below
	kv   jetstream.KeyValue
	mine map[string]written
	seen map[string]sighting
}

// written is what was written last.
type written struct {
	holder   string
	revision uint64
}

// sighting is when an entry of another was first seen as it is.
type sighting struct {
	revision uint64
	at       time.Time
}

// leaseEntry is what the bucket holds.
type leaseEntry struct {
	Holder string `json:"holder"`
	TTL    string `json:"ttl"`
}

// Lease implements queue.Leaser.
func (q *Queue) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if ttl <= 0 {
		return false, fmt.Errorf("queue: lease %s: the ttl must be positive, not %s", name, ttl)
	}
	l, kv, ctx, done, err := q.leasing(ctx, name, holder)
	if err != nil {
		return false, err
	}
	defer done()
	value, err := json.Marshal(leaseEntry{holder, ttl.String()})
	if err != nil {
		return false, fmt.Errorf("queue: lease %s: %w", name, err)
	}
	write := func(revision uint64) (bool, error) { return l.write(ctx, kv, name, holder, value, revision) }
	if last := l.mine[name]; last.holder == holder {
		if held, err := write(last.revision); held || err != nil {
			return held, err
		}
	}
	have, revision, err := q.readLease(ctx, name)
	switch {
	case err != nil:
		return false, l.failed(name, err)
	case have.Holder == "", // free
		have.Holder == holder: // the answer to an earlier write was lost
		return write(revision)
	}
	if was := l.seen[name]; was.revision != revision {
		l.seen[name] = sighting{revision, time.Now()}
		return false, nil
	} else if theirs, _ := time.ParseDuration(have.TTL); time.Since(was.at) < max(ttl, theirs) {
		return false, nil
	}
	return write(revision)
}

// Release implements queue.Leaser.
func (q *Queue) Release(ctx context.Context, name, holder string) error {
	l, kv, ctx, done, err := q.leasing(ctx, name, holder)
	if err != nil {
		return err
	}
	defer done()
	delete(l.mine, name)
	have, revision, err := q.readLease(ctx, name)
	switch {
	case err != nil:
		return l.failed(name, err)
	case have.Holder != holder:
		return nil
	}
	err = kv.Delete(ctx, leaseKey(name), jetstream.LastRevision(revision))
	if err != nil && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return l.failed(name, err)
	}
	return nil
}

// leasing is the start of each call; done ends it.
func (q *Queue) leasing(ctx context.Context, name, holder string) (*leases, jetstream.KeyValue, context.Context, func(), error) {
	fail := func(err error) (*leases, jetstream.KeyValue, context.Context, func(), error) {
		return nil, nil, nil, nil, err
	}
	if checkConsumer(name) != nil || checkConsumer(holder) != nil {
		return fail(fmt.Errorf("queue: lease %q of %q: use 1 to 128 of A-Z, a-z, 0-9, _ and -", name, holder))
	}
	ctx, cancel, err := q.call(ctx)
	if err != nil {
		return fail(err)
	}
	l := &q.leases
	l.mu.Lock()
	done := func() { l.mu.Unlock(); cancel() }
	if l.kv == nil {
		if err = q.firmly(ctx, func(ctx context.Context) (err error) { l.kv, err = q.stateBucket(ctx); return err }); err != nil {
			l.kv = nil
			done()
			return fail(err)
		}
		l.mine, l.seen = map[string]written{}, map[string]sighting{}
	}
	return l, l.kv, ctx, done, nil
}

// stateBucket finds or makes the bucket.
func (q *Queue) stateBucket(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := q.js.KeyValue(ctx, StateBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = q.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: StateBucket, Storage: jetstream.FileStorage,
			Replicas: q.cfg.Replicas, History: 1, MaxBytes: StateBytes, Description: "Penstock: leases"})
		if errors.Is(err, jetstream.ErrBucketExists) { // another was quicker, with other settings
			kv, err = q.js.KeyValue(ctx, StateBucket)
		}
	}
	if err != nil {
		return nil, provisionError("KV_"+StateBucket, StateBytes, err)
	}
	return kv, nil
}

func leaseKey(name string) string { return "lease." + name }

// readLease asks the leader. Without a holder it gives the revision of the marker
// that the last one has left, or 0.
func (q *Queue) readLease(ctx context.Context, name string) (have leaseEntry, revision uint64, err error) {
	m, err := q.askLeader(ctx, "KV_"+StateBucket, "lease "+name, map[string]any{"last_by_subj": "$KV." + StateBucket + "." + leaseKey(name)})
	switch {
	case err == nil:
	case errors.Is(err, queue.ErrNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound):
		return have, 0, nil
	default:
		return have, 0, err
	}
	h, err := headers(m.Header)
	if err != nil {
		return have, 0, err
	}
	if isMarker(h) {
		return have, m.Sequence, nil
	}
	if err := json.Unmarshal(m.Data, &have); err != nil {
		return have, 0, fmt.Errorf("the entry %s of bucket %s is not a lease: %w; delete it", leaseKey(name), StateBucket, err)
	}
	return have, m.Sequence, nil
}

// write puts the value if the entry is still at the revision, or 0 for none.
func (l *leases) write(ctx context.Context, kv jetstream.KeyValue, name, holder string, value []byte, revision uint64) (bool, error) {
	delete(l.mine, name)
	delete(l.seen, name)
	revision, err := kv.Update(ctx, leaseKey(name), value, revision)
	switch {
	case err == nil:
		l.mine[name] = written{holder, revision}
		return true, nil
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return false, nil
	}
	return false, l.failed(name, err)
}

// failed also forgets the bucket: it may have been deleted.
func (l *leases) failed(name string, err error) error {
	l.kv = nil
	if apiCode(err) != 0 || errors.Is(err, queue.ErrUnavailable) {
		return fmt.Errorf("queue: lease %s: %w", name, err)
	}
	return fmt.Errorf("queue: lease %s: %w: %w", name, queue.ErrUnavailable, err)
}
