package tap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// show hands on what is wanted of a message. e is its caller's.
func (t *tap) show(ctx context.Context, s stream, e queue.Entry) error {
	tenant := e.Message.Header[record.HeaderTenant]
	if !t.wantsTenant(tenant) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return errDone
	}
	from := Item{Kind: KindItem, Signal: s.signal, Tenant: tenant, Stream: s.name, Sequence: e.Sequence, StoredAt: e.StoredAt}
	raw, err := t.decodeLocked(s, e.Message)
	if err != nil {
		from.Kind, from.Problem = KindDamaged, err.Error()
		if errors.Is(err, record.ErrNewer) || errors.Is(err, errTooLarge) {
			from.Kind = KindRefused
		}
		return t.giveLocked(from)
	}
	for r := range otlp.Resources(s.signal, raw) {
		if !t.wantsResource(r.Attributes()) {
			continue
		}
		service := bound(r.Attributes().Text(serviceName), maxName)
		for it := range otlp.Items(s.signal, r.Request()) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !t.o.Attributes.Match(it.Attributes()) {
				continue
			}
			i := from
			i.Service = service
			t.fillLocked(&i, it)
			if err := t.giveLocked(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// errTooLarge marks a message that is larger than the bound.
var errTooLarge = errors.New("message is too large to be shown")

// decodeLocked returns the request of a message, valid until the next call.
func (t *tap) decodeLocked(s stream, m *queue.Message) ([]byte, error) {
	r, err := record.Decode(m)
	if err != nil {
		return nil, err
	}
	if r.Signal != s.signal {
		return nil, fmt.Errorf("%w: %s is %s in a stream of %s", record.ErrDamaged, record.HeaderSignal, r.Signal, s.signal)
	}
	if r.RawBytes > t.o.MaxMessageBytes {
		return nil, fmt.Errorf("%w: it is %d bytes when decoded, and the bound is %d", errTooLarge, r.RawBytes, t.o.MaxMessageBytes)
	}
	raw, err := codec.Decode(t.raw[:0], r.Codec, r.Body, r.RawBytes)
	t.raw = raw
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: body of %d bytes: %w", record.ErrDamaged, len(r.Body), err)
	case len(raw) != r.RawBytes:
		return nil, fmt.Errorf("%w: %d bytes when decoded, and %s is %d", record.ErrDamaged, len(raw), record.HeaderRawBytes, r.RawBytes)
	}
	if _, err := otlp.Check(s.signal, raw, otlp.CheckOptions{}); err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrDamaged, err)
	}
	return raw, nil
}

// fillLocked describes an item. What the Collector's types refuse, an id of an
// odd length, is described by what the wire tells.
func (t *tap) fillLocked(i *Item, it *otlp.Item) {
	if ns := it.Time(); ns != 0 {
		i.Time = time.Unix(int64(ns/1e9), int64(ns%1e9)).UTC()
	}
	for key, v := range it.Attributes().All() {
		if len(i.Attributes) == maxAttributes {
			break
		}
		i.Attributes = append(i.Attributes, Attribute{Key: bound(string(key), maxName), Value: attributeText(v)})
	}
	t.lone = it.AppendRequest(t.lone[:0])
	if err := describe(i, t.lone); err != nil {
		i.Problem = err.Error()
		return
	}
	if t.o.Full {
		full, err := otlp.AppendJSONFromProto(nil, i.Signal, t.lone)
		if err != nil {
			i.Problem = err.Error()
			return
		}
		i.OTLP = full
	}
}

func attributeText(v otlp.Value) string {
	switch v.Kind() {
	case otlp.ListValue:
		return "[...]"
	case otlp.MapValue:
		return "{...}"
	}
	return bound(v.String(), maxValue)
}
