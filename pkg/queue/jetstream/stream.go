package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// streamConfig is the table of stream settings; each line keeps a guarantee.
func (q *Queue) streamConfig(c queue.StreamConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        c.Name,
		Subjects:    []string{Subject(c.Name)},
		Storage:     jetstream.FileStorage,
		Replicas:    q.cfg.Replicas,
		Retention:   jetstream.LimitsPolicy, // several readers, and replay
		Discard:     jetstream.DiscardNew,   // a full stream refuses, it never deletes
		MaxBytes:    c.MaxBytes,
		MaxMsgs:     -1,
		MaxMsgSize:  -1,
		MaxAge:      0, // an age limit does not look at acks
		Duplicates:  c.DedupWindow,
		AllowDirect: true, // single reads beside consumers
		Compression: jetstream.NoCompression,
		PersistMode: jetstream.DefaultPersistMode, // async confirms before it stores
		DenyDelete:  !c.Removable,
	}
}

// EnsureStream implements queue.Provisioner. An existing stream is brought to
// the settings if that deletes nothing: MaxBytes may grow, and shrink down to
// what is stored.
func (q *Queue) EnsureStream(ctx context.Context, c queue.StreamConfig) error {
	if c.DedupWindow == 0 {
		c.DedupWindow = DefaultDedupWindow
	}
	if err := q.checkStreamConfig(c); err != nil {
		return err
	}
	return q.firmly(ctx, func(ctx context.Context) error { return q.ensureStream(ctx, c) })
}

func (q *Queue) ensureStream(ctx context.Context, c queue.StreamConfig) error {
	want := q.streamConfig(c)
	var err error
	// Others may do the same at once: an update can meet a stream that has
	// changed since it was read, and then looks again.
	for range 3 {
		var have *jetstream.StreamInfo
		var s jetstream.Stream
		switch s, err = q.js.Stream(ctx, c.Name); {
		case err == nil:
			have = s.CachedInfo()
		case errors.Is(err, jetstream.ErrStreamNotFound):
			trace, known := q.trace(c.Name)
			if s, err = q.js.CreateStream(ctx, want); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
				continue
			}
			if err != nil {
				return provisionError(c.Name, c.MaxBytes, err)
			}
			have = s.CachedInfo()
			q.logMade(have, trace, known)
		default:
			return provisionError(c.Name, c.MaxBytes, err)
		}
		next, changed, err := reconcile(have, want)
		if err != nil {
			return err
		}
		if !changed {
			return q.checkReplicas(have)
		}
		if _, err := q.js.UpdateStream(ctx, next); err != nil {
			return provisionError(c.Name, c.MaxBytes, err)
		}
	}
	return fmt.Errorf("queue: stream %s: %w: it keeps changing: several processes with different settings?",
		c.Name, queue.ErrUnavailable)
}

// firmly repeats what has no answer, and can be repeated: a cluster that elects a
// leader, or makes the same for another just now, may leave a request without.
func (q *Queue) firmly(ctx context.Context, do func(context.Context) error) error {
	ctx, done, err := q.call(ctx)
	if err != nil {
		return err
	}
	defer done()
	once := func() error {
		ctx, cancel := context.WithTimeout(ctx, min(3*time.Second, q.cfg.PublishTimeout))
		defer cancel()
		defer context.AfterFunc(q.control.alive(), cancel)()
		return do(ctx)
	}
	for try := 1; ; try++ {
		if err := once(); err == nil || !errors.Is(err, queue.ErrUnavailable) || !q.pause(ctx, q.control, try) {
			return err
		}
	}
}

// trace is a directory that a stream of the name has left in an embedded store,
// "" for none. Not known for an external server.
func (q *Queue) trace(stream string) (dir string, known bool) {
	s, known := q.cfg.Conn.(interface{ StreamDir(stream string) string })
	if !known {
		return "", false
	}
	return s.StreamDir(stream), true
}

// logMade is loud about a stream that was there before: the server skips one
// that it cannot recover, and without it nothing would work.
func (q *Queue) logMade(s *jetstream.StreamInfo, trace string, known bool) {
	log := q.cfg.Logger.With("stream", s.Config.Name, "messages", s.State.Msgs)
	switch {
	case trace != "":
		log.Error("queue: a stream that existed was not recovered by the server, and is made anew: what it held may be lost; see the server's log before", "dir", trace)
	case known:
		log.Info("queue: a stream is made")
	default:
		log.Warn("queue: a stream is made because the server has none of the name: an empty queue is normal only at the first start, else what it held is lost")
	}
}

func (q *Queue) checkStreamConfig(c queue.StreamConfig) error {
	if err := checkStream(c.Name); err != nil {
		return err
	}
	if c.MaxBytes <= 0 {
		return fmt.Errorf("queue: stream %s: max bytes must be positive, not %d", c.Name, c.MaxBytes)
	}
	if c.DedupWindow <= q.cfg.PublishHorizon {
		return fmt.Errorf("queue: stream %s: the dedup window of %s must be longer than the publish horizon of %s, else a repeated publish is stored twice",
			c.Name, c.DedupWindow, q.cfg.PublishHorizon)
	}
	return nil
}

// reconcile gives the update from have to want, or says why there is none.
func reconcile(have *jetstream.StreamInfo, want jetstream.StreamConfig) (next jetstream.StreamConfig, changed bool, err error) {
	next = have.Config
	fixed := func(what string, have, want any) error {
		return fmt.Errorf("queue: stream %s exists with %s %v where %v is needed, and this cannot be changed: drain and delete it, or use another name",
			next.Name, what, have, want)
	}
	switch {
	case next.Storage != want.Storage:
		return next, false, fixed("storage", next.Storage, want.Storage)
	case next.Retention != want.Retention:
		return next, false, fixed("retention", next.Retention, want.Retention)
	case !slices.Equal(next.Subjects, want.Subjects):
		return next, false, fixed("subjects", next.Subjects, want.Subjects)
	case next.PersistMode != want.PersistMode:
		return next, false, fixed("persist mode", next.PersistMode, want.PersistMode)
	case next.Sealed, next.Mirror != nil, len(next.Sources) > 0:
		return next, false, fixed("kind", "sealed, mirrored or sourced", "plain")
	}
	set := func(differs bool, apply func()) {
		if differs {
			apply()
			changed = true
		}
	}
	if want.MaxBytes < next.MaxBytes && uint64(want.MaxBytes) < have.State.Bytes {
		return next, false, fmt.Errorf("queue: stream %s holds %d bytes of a limit of %d and cannot shrink to %d: keep the limit, or let it drain first",
			next.Name, have.State.Bytes, next.MaxBytes, want.MaxBytes)
	}
	set(next.MaxBytes != want.MaxBytes, func() { next.MaxBytes = want.MaxBytes })
	set(next.Discard != want.Discard, func() { next.Discard = want.Discard })
	set(next.DiscardNewPerSubject, func() { next.DiscardNewPerSubject = false })
	set(next.MaxAge != 0, func() { next.MaxAge = 0 })
	set(next.MaxMsgs > 0, func() { next.MaxMsgs = -1 })
	set(next.MaxMsgsPerSubject > 0, func() { next.MaxMsgsPerSubject = -1 })
	set(next.MaxMsgSize > 0, func() { next.MaxMsgSize = -1 })
	set(next.Duplicates != want.Duplicates, func() { next.Duplicates = want.Duplicates })
	set(!next.AllowDirect, func() { next.AllowDirect = true })
	// deny_delete is left as it is: it cannot be taken back, and giving it to a
	// stream that is Removable for another would be for good.
	set(next.NoAck, func() { next.NoAck = false })
	set(next.Replicas < want.Replicas, func() { next.Replicas = want.Replicas })
	return next, changed, nil
}

func (q *Queue) checkReplicas(have *jetstream.StreamInfo) error {
	if q.cfg.Durability == Replicated && have.Config.Replicas < q.cfg.Replicas && !q.cfg.AllowUnverified {
		return fmt.Errorf("queue: stream %s has %d replicas, durability replicated needs %d",
			have.Config.Name, have.Config.Replicas, q.cfg.Replicas)
	}
	return nil
}

func provisionError(stream string, maxBytes int64, err error) error {
	code := apiCode(err)
	if code == codeNoPeers && strings.Contains(err.Error(), "peer offline") { // with it there may be room enough
		return fmt.Errorf("queue: stream %s: %w: not enough servers of the cluster are there for its replicas: %w", stream, queue.ErrUnavailable, err)
	}
	switch code {
	case codeAccountLimit, codeInsufficient, codeStorage, codeNoPeers:
		return fmt.Errorf("queue: stream %s: %w: it reserves max bytes %d: lower queue.max_bytes, or raise the server's jetstream max_file_store (external) or the store limit (embedded), within 80 %% of the disk: %w",
			stream, queue.ErrNoRoom, maxBytes, err)
	case codeStreamMaxBytes:
		return fmt.Errorf("queue: stream %s: %w: max bytes %d is above the account's limit for one stream: lower queue.max_bytes, or raise the account's limit: %w",
			stream, queue.ErrNoRoom, maxBytes, err)
	}
	return apiError("stream "+stream, err)
}

// apiError names the thing and gives the contract's error for an API call.
func apiError(what string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrMsgNotFound):
		return fmt.Errorf("queue: %s: %w: %w", what, queue.ErrNotFound, err)
	case apiCode(err) != 0 && !isUnavailable(err):
		return fmt.Errorf("queue: %s: %w", what, err)
	}
	return fmt.Errorf("queue: %s: %w: %w", what, queue.ErrUnavailable, err)
}

// StreamState implements queue.Provisioner.
func (q *Queue) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	s, done, ctx, err := q.stream(ctx, stream)
	if err != nil {
		return queue.StreamState{}, err
	}
	defer done()
	info := s.CachedInfo()
	st := queue.StreamState{
		Name: stream, MaxBytes: info.Config.MaxBytes,
		Messages: info.State.Msgs, Bytes: info.State.Bytes,
		FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq,
		FirstTime: info.State.FirstTime, LastTime: info.State.LastTime,
		Consumers: []string{},
	}
	if st.Messages == 0 {
		st.FirstSeq = st.LastSeq + 1
		st.FirstTime = time.Time{}
	}
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if !isBrowser(name) {
			st.Consumers = append(st.Consumers, name)
		}
	}
	if err := names.Err(); err != nil {
		return queue.StreamState{}, apiError("consumers of stream "+stream, err)
	}
	slices.Sort(st.Consumers)
	return st, nil
}

// Purge implements queue.Provisioner.
func (q *Queue) Purge(ctx context.Context, stream string, seq uint64) error {
	if seq == 0 {
		return nil // the server would take 0 for everything
	}
	s, done, ctx, err := q.stream(ctx, stream)
	if err != nil {
		return err
	}
	defer done()
	if err := s.Purge(ctx, jetstream.WithPurgeSequence(seq+1)); err != nil {
		return apiError(fmt.Sprintf("purge of stream %s up to sequence %d", stream, seq), err)
	}
	return nil
}

// stream looks a stream up, which also tells a missing one.
func (q *Queue) stream(ctx context.Context, name string) (jetstream.Stream, context.CancelFunc, context.Context, error) {
	if err := checkStream(name); err != nil {
		return nil, nil, nil, err
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := q.js.Stream(ctx, name)
	if err != nil {
		done()
		return nil, nil, nil, apiError("stream "+name, err)
	}
	return s, done, ctx, nil
}
