package jetstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// The bucket of values, made by the first Save, or brought to what is needed of
// it. It is another than that of the
// leases: values may fill theirs, and nothing may keep a holder from renewing.
// It has the form of a NATS key-value bucket; a key's parts are the parts of the
// subject, so that `nats kv get PENSTOCK_VALUES a.b` shows the value a/b.
const (
	ValueBucket = "PENSTOCK_VALUES"
	// ValueBytes is what it may take, beside StateBytes.
	ValueBytes = 32 << 20

	valueStream  = "KV_" + ValueBucket
	valueSubject = "$KV." + ValueBucket + "."
	// markerTTL is how long a removed value leaves a marker, for what lags: no
	// longer, so that who removes many does not fill the bucket with them.
	markerTTL = 2 * time.Minute

	operationHeader = "KV-Operation"
	removed         = "DEL"
)

// values is what this process knows of the bucket.
type values struct {
	mu    sync.Mutex // guards everything below
	made  bool
	known map[string]known
}

// known is a change that this process has made or read, which a server that
// lags may not show yet.
type known struct {
	revision uint64
	at       time.Time
}

// toSubject maps / to the subject's own separator, and '.' to what no key has.
var toSubject, toKey = strings.NewReplacer("/", ".", ".", "="), strings.NewReplacer(".", "/", "=", ".")

func subjectOf(key string) string { return valueSubject + toSubject.Replace(key) }

func keyOf(subject string) string { return toKey.Replace(strings.TrimPrefix(subject, valueSubject)) }

// lastValue is the last entry of a key, which may be a marker.
type lastValue struct {
	queue.Value
	id      string // of the write
	removed bool
}

// Load implements queue.Store.
func (q *Queue) Load(ctx context.Context, key string) (queue.Value, error) {
	if err := queue.CheckKey(key); err != nil {
		return queue.Value{}, err
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return queue.Value{}, err
	}
	defer done()
	v, err := q.lastValue(ctx, key)
	if err != nil {
		return queue.Value{}, err
	}
	if v.removed {
		return queue.Value{}, fmt.Errorf("queue: value %s: %w", key, queue.ErrNotFound)
	}
	return v.Value, nil
}

// lastValue reads from the leader.
func (q *Queue) lastValue(ctx context.Context, key string) (lastValue, error) {
	m, err := q.askLeader(ctx, valueStream, "value "+key, map[string]any{"last_by_subj": subjectOf(key)})
	if err != nil {
		return lastValue{}, err
	}
	h, err := headers(m.Header)
	if err != nil {
		return lastValue{}, fmt.Errorf("queue: value %s: %w", key, err)
	}
	q.note(key, m.Sequence)
	return valueOf(m.Subject, m.Sequence, h, m.Data), nil
}

func valueOf(subject string, seq uint64, h nats.Header, data []byte) lastValue {
	return lastValue{
		Value:   queue.Value{Key: keyOf(subject), Data: data, Revision: seq},
		id:      h.Get(jetstream.MsgIDHeader),
		removed: isMarker(h),
	}
}

// isMarker tells what a key-value bucket has in place of a removed value.
func isMarker(h nats.Header) bool {
	return h.Get(operationHeader) != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

// Save implements queue.Store.
func (q *Queue) Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	if err := queue.CheckKey(key); err != nil {
		return 0, err
	}
	if len(data) > queue.MaxValueBytes {
		return 0, fmt.Errorf("queue: value %s: %w: %d bytes, limit %d", key, queue.ErrTooLarge, len(data), queue.MaxValueBytes)
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := q.firmly(ctx, q.makeValues); err != nil {
		return 0, err
	}
	return q.write(ctx, key, data, nats.Header{}, revision)
}

// Remove implements queue.Store.
func (q *Queue) Remove(ctx context.Context, key string, revision uint64) error {
	if err := queue.CheckKey(key); err != nil {
		return err
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return err
	}
	defer done()
	for {
		v, err := q.lastValue(ctx, key)
		switch {
		case errors.Is(err, queue.ErrNotFound), err == nil && v.removed:
			return nil
		case err != nil:
			return err
		case revision != queue.AnyRevision && revision != v.Revision:
			return conflict(key, v.Revision, revision)
		}
		marker := nats.Header{operationHeader: {removed}, jetstream.MsgTTLHeader: {markerTTL.String()}}
		_, err = q.write(ctx, key, nil, marker, v.Revision)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, queue.ErrFull): // there is no room to say that there may be room
			if err := q.purgeValue(ctx, key, v.Revision); err != nil {
				return err
			}
		case !errors.Is(err, queue.ErrConflict):
			return err
		}
		// Look again what is there now.
	}
}

// purgeValue removes a value and leaves no marker, if it is at the revision.
func (q *Queue) purgeValue(ctx context.Context, key string, revision uint64) error {
	s, err := q.js.Stream(ctx, valueStream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(subjectOf(key)), jetstream.WithPurgeSequence(revision+1))
	}
	if err != nil {
		return apiError("value "+key, err)
	}
	q.note(key, revision+1)
	return nil
}

func conflict(key string, have, want uint64) error {
	return fmt.Errorf("queue: value %s: %w: it is at revision %d, not %d", key, queue.ErrConflict, have, want)
}

// write stores an entry if the last one is at the revision; 0: if there is none,
// or a marker. It repeats tries: the entry has an ID to know it again by.
func (q *Queue) write(ctx context.Context, key string, data []byte, h nats.Header, revision uint64) (uint64, error) {
	id := rand.Text()
	h.Set(jetstream.MsgIDHeader, id)
	h.Set(jetstream.ExpectedStreamHeader, valueStream)
	expect := func(revision uint64) {
		if revision != queue.AnyRevision {
			h.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
		}
	}
	expect(revision)
	msg := &nats.Msg{Subject: subjectOf(key), Header: h, Data: data}
	unsure := false // an earlier try may have stored it
	for try := 1; ; try++ {
		l := q.publish[(int(q.turn.Add(1)))%len(q.publish)]
		_, err := q.proof.connection(l)
		sent := err == nil
		var r queue.Receipt
		if sent {
			r, err = q.try(ctx, l, valueStream, msg)
		}
		if err == nil {
			q.note(key, r.Sequence)
			return r.Sequence, nil
		}
		if errors.Is(err, nats.ErrNoResponders) {
			sent = false
			err = q.explainNoResponders(ctx, valueStream)
		}
		final := classify(err)
		switch code := apiCode(err); {
		case errors.Is(final, queue.ErrNotFound): // deleted under us
			q.values.forget()
			if err := q.firmly(ctx, q.makeValues); err != nil {
				return 0, err
			}
		case final != nil:
			return 0, fmt.Errorf("queue: value %s of %d bytes: %w: %w", key, len(data), final, err)
		case code == codeWrongLast:
			have, err := q.lastValue(ctx, key)
			switch {
			case err == nil && have.id == id:
				return have.Revision, nil
			case err != nil && !errors.Is(err, queue.ErrNotFound):
				return 0, err
			case unsure:
				return 0, fmt.Errorf("queue: value %s: %w: a confirmation was lost, and another has changed it since", key, queue.ErrUnavailable)
			case revision != 0 || err == nil && !have.removed:
				return 0, conflict(key, have.Revision, revision)
			}
			expect(have.Revision) // of the marker, or 0
			continue
		case code == 0 && sent:
			unsure = true
		}
		if !q.pause(ctx, l, try) {
			if q.ctx.Err() != nil {
				return 0, fmt.Errorf("queue: value %s: %w", key, queue.ErrClosed)
			}
			return 0, fmt.Errorf("queue: value %s: %w: not confirmed after %d tries: %w: %w", key, queue.ErrUnavailable, try, ctx.Err(), err)
		}
	}
}

func (v *values) forget() {
	v.mu.Lock()
	v.made = false
	v.mu.Unlock()
}

// makeValues finds or makes the bucket.
func (q *Queue) makeValues(ctx context.Context) error {
	v := &q.values
	v.mu.Lock()
	made := v.made
	v.mu.Unlock()
	if made {
		return nil
	}
	want := q.valueConfig()
	s, err := q.js.Stream(ctx, valueStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = q.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another was quicker, with other settings
			s, err = q.js.Stream(ctx, valueStream)
		}
	}
	if err == nil {
		if next := s.CachedInfo().Config; !next.AllowDirect || !next.AllowMsgTTL || next.Replicas < want.Replicas {
			next.AllowDirect, next.AllowMsgTTL, next.Replicas = true, true, max(next.Replicas, want.Replicas)
			_, err = q.js.UpdateStream(ctx, next)
		}
	}
	if err != nil {
		return provisionError(valueStream, ValueBytes, err)
	}
	v.mu.Lock()
	v.made = true
	v.mu.Unlock()
	return nil
}

// valueConfig is that of a key-value bucket of the library, whose markers may
// end.
func (q *Queue) valueConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              valueStream,
		Description:       "Penstock: jobs, presence and sums",
		Subjects:          []string{valueSubject + ">"},
		Storage:           jetstream.FileStorage,
		Replicas:          q.cfg.Replicas,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		MaxBytes:          ValueBytes,
		MaxMsgs:           -1,
		MaxMsgSize:        -1,
		MaxMsgsPerSubject: 1, // the last value alone
		Duplicates:        2 * time.Minute,
		AllowDirect:       true,
		AllowRollup:       true,
		AllowMsgTTL:       true,
		DenyDelete:        true,
		Compression:       jetstream.NoCompression,
		PersistMode:       jetstream.DefaultPersistMode,
	}
}
