package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

const (
	// listBytes bounds one answer, listKeys the keys that one asks for by name.
	listBytes, listKeys = 8 << 20, 16
	// knownFor is how long a server is helped out that lags.
	knownFor = time.Minute
)

// errPartly is an answer that did not fit, or was overtaken.
var errPartly = errors.New("the values do not fit one answer")

// List implements queue.Store. One request reads all values whose keys share the
// parts before the last / of the prefix, as they are at one moment, from any
// replica; only what does not fit one answer is read in several.
func (q *Queue) List(ctx context.Context, prefix string) ([]queue.Value, error) {
	if err := queue.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	found := map[string]lastValue{}
	if err := q.listInto(ctx, found, prefix); err != nil {
		if errors.Is(err, queue.ErrNotFound) { // nothing was ever saved
			return nil, nil
		}
		return nil, err
	}
	for key := range q.behind(found, prefix) {
		v, err := q.lastValue(ctx, key)
		switch {
		case err == nil:
			found[key] = v
		case errors.Is(err, queue.ErrNotFound):
			delete(found, key)
		default:
			return nil, err
		}
	}
	var list []queue.Value
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if v := found[key]; !v.removed && strings.HasPrefix(key, prefix) {
			list = append(list, v.Value)
		}
	}
	return list, nil
}

func (q *Queue) listInto(ctx context.Context, found map[string]lastValue, prefix string) error {
	filter := valueSubject + ">"
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		filter = subjectOf(prefix[:i]) + ".>"
	}
	err := q.multi(ctx, found, filter)
	if !errors.Is(err, errPartly) {
		return err
	}
	// A further page would lack what is written between the two: it has left the
	// first one's view and is not in the second's. So ask for each by name.
	s, err := q.js.Stream(ctx, valueStream)
	if err != nil {
		return apiError("values", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return apiError("values", err)
	}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(info.State.Subjects)), listKeys) {
		if err := q.multi(ctx, found, some...); err != nil {
			return err
		}
	}
	return nil
}

// multi asks until it has an answer (ADR-31, multi_last).
func (q *Queue) multi(ctx context.Context, found map[string]lastValue, subjects ...string) error {
	req, err := json.Marshal(map[string]any{"multi_last": subjects, "max_bytes": listBytes})
	if err != nil {
		return fmt.Errorf("queue: values: %w", err)
	}
	for try := 1; ; try++ {
		some, err := q.multiOnce(ctx, req)
		switch {
		case err == nil:
			maps.Copy(found, some)
			return nil
		case errors.Is(err, errPartly):
			return err
		case errors.Is(err, nats.ErrNoResponders):
			if err = q.explainNoResponders(ctx, valueStream); errors.Is(err, jetstream.ErrStreamNotFound) {
				return apiError("values", err)
			}
		}
		if !q.pause(ctx, q.control, try) {
			if q.ctx.Err() != nil {
				return fmt.Errorf("queue: values: %w", queue.ErrClosed)
			}
			return fmt.Errorf("queue: values: %w: no answer after %d tries: %w: %w", queue.ErrUnavailable, try, ctx.Err(), err)
		}
	}
}

func (q *Queue) multiOnce(ctx context.Context, req []byte) (map[string]lastValue, error) {
	ctx, cancel := context.WithTimeout(ctx, q.cfg.PublishTimeout)
	defer cancel()
	defer context.AfterFunc(q.control.alive(), cancel)()
	nc := q.control.nc
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()             // fails only if the connection is closed
	if err := sub.SetPendingLimits(-1, -1); err != nil { // the bound is listBytes
		return nil, err
	}
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+valueStream, sub.Subject, req); err != nil {
		return nil, err
	}
	found := map[string]lastValue{}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		status, text := m.Header.Get("Status"), m.Header.Get("Description")
		switch {
		case status == "204" && m.Header.Get("Nats-Num-Pending") == "0", // the end
			status == "404" && strings.EqualFold(text, "no results"):
			return found, nil
		case status == "204", status == "413":
			return nil, errPartly
		case status == "503":
			return nil, nats.ErrNoResponders
		case status != "": // older servers: a value was changed while it was read
			return nil, fmt.Errorf("the server answers %s %s", status, text)
		}
		seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("revision of a value: %w", err)
		}
		v := valueOf(m.Header.Get(jetstream.SubjectHeader), seq, m.Header, m.Data)
		found[v.Key] = v
	}
}

// note remembers the last revision of a key that was seen.
func (q *Queue) note(key string, revision uint64) {
	v := &q.values
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.known == nil {
		v.known = map[string]known{}
	}
	if len(v.known) >= 256 {
		maps.DeleteFunc(v.known, func(_ string, k known) bool { return now.Sub(k.at) > knownFor })
	}
	if v.known[key].revision < revision {
		v.known[key] = known{revision, now}
	}
}

// behind gives the keys that found shows older than they are known, and notes
// those that are newer.
func (q *Queue) behind(found map[string]lastValue, prefix string) map[string]struct{} {
	v := &q.values
	v.mu.Lock()
	defer v.mu.Unlock()
	old := map[string]struct{}{}
	for key, k := range v.known {
		if time.Since(k.at) > knownFor {
			delete(v.known, key)
		} else if strings.HasPrefix(key, prefix) && found[key].Revision < k.revision {
			old[key] = struct{}{}
		}
	}
	return old
}
