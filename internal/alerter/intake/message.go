package intake

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// maxIdleBuffer is the largest buffer kept from one message to the next; a group of
// the gateway's default is half of it.
const maxIdleBuffer = 8 << 20

// message gives the sink what is wanted of a message. What cannot be read is told
// and passed over: no repetition cures it. The error is that of ctx.
func (f *follower) message(ctx context.Context, e queue.Entry) error {
	m := f.in.o.Metrics
	m.messages.WithLabelValues(f.name).Inc()
	tenant, err := f.keep(e.Message)
	switch {
	case errors.Is(err, record.ErrNewer):
		f.drop(e, reasonNewer, err)
	case errors.Is(err, errTooLarge):
		f.drop(e, reasonTooLarge, err)
	case err != nil:
		f.drop(e, reasonDamaged, err)
	case len(f.kept) > 0:
		if err := f.give(ctx, e, tenant); err != nil {
			return err
		}
	}
	if cap(f.raw) > maxIdleBuffer {
		f.raw = nil
	}
	if cap(f.kept) > maxIdleBuffer {
		f.kept = nil
	}
	return nil
}

// drop counts and tells of a message that is passed over.
func (f *follower) drop(e queue.Entry, reason string, err error) {
	f.in.o.Metrics.dropped.WithLabelValues(f.name, reason).Inc()
	f.tell("a message is passed over as "+reason, "sequence", e.Sequence, "error", err)
}

// errTooLarge marks a message that is larger than the bound.
var errTooLarge = errors.New("message is too large")

// keep leaves in f.kept what is wanted of a message, nothing when nothing is.
func (f *follower) keep(m *queue.Message) (tenant string, err error) {
	f.kept = f.kept[:0]
	r, err := record.Decode(m)
	if err != nil {
		return "", err
	}
	if r.Signal != otlp.Metrics {
		return "", fmt.Errorf("%w: %s is %s in a stream of metrics", record.ErrDamaged, record.HeaderSignal, r.Signal)
	}
	if r.RawBytes > f.in.o.MaxMessageBytes {
		return "", fmt.Errorf("%w: it is %d bytes when decoded, and the bound is %d", errTooLarge, r.RawBytes, f.in.o.MaxMessageBytes)
	}
	f.in.o.Metrics.points.Add(float64(r.Items))
	wants := f.in.o.Wants(r.Tenant)
	if wants == nil {
		return r.Tenant, nil
	}
	raw := r.Body
	if r.Codec != codec.None {
		raw, err = codec.Decode(f.raw[:0], r.Codec, r.Body, r.RawBytes)
		f.raw = raw
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: body of %d bytes: %w", record.ErrDamaged, len(r.Body), err)
	case len(raw) != r.RawBytes:
		return "", fmt.Errorf("%w: %d bytes when decoded, and %s is %d", record.ErrDamaged, len(raw), record.HeaderRawBytes, r.RawBytes)
	}
	var kept, left int
	f.kept, kept, left = otlp.KeepMetrics(f.kept, raw, wants)
	f.in.o.Metrics.kept.Add(float64(kept))
	f.in.o.Metrics.left.Add(float64(left))
	if _, err := otlp.Check(otlp.Metrics, f.kept, otlp.CheckOptions{}); err != nil {
		return "", fmt.Errorf("%w: %w", record.ErrDamaged, err)
	}
	return r.Tenant, nil
}

// give tries until the sink has what is kept.
func (f *follower) give(ctx context.Context, e queue.Entry, tenant string) error {
	for try := 0; ; try++ {
		err := f.in.o.Sink.Append(ctx, tenant, f.kept, e.StoredAt)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrRefused):
			f.drop(e, reasonRefused, err)
			return nil
		}
		f.in.o.Metrics.retries.WithLabelValues(f.name).Inc()
		f.tell("samples cannot be stored; trying on, and the watermark stands still", "sequence", e.Sequence, "tenant", tenant, "error", err)
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}
