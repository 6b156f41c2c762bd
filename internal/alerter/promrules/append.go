package promrules

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

// ErrMalformed is in the error of Append for a request that can never be decoded.
var ErrMalformed = errors.New("request is malformed")

// Append stores the points of an ExportMetricsServiceRequest, which is not kept.
// now is the time at which the queue stored it: points are judged by their distance
// from that. An error says that nothing was stored: the request cannot be decoded
// (ErrMalformed), or the store does not work.
func (e *Engine) Append(ctx context.Context, request []byte, now time.Time) (Appended, error) {
	var said Appended
	r := pmetricotlp.NewExportRequest()
	if err := r.UnmarshalProto(request); err != nil {
		return said, fmt.Errorf("%w: decode metrics of %d bytes: %w", ErrMalformed, len(request), err)
	}
	md := r.Metrics()

	e.appendMu.Lock()
	defer e.appendMu.Unlock()
	defer func() { e.o.Metrics.appended(&said) }()
	e.guard(md, now, &said)
	md, err := e.deltas.convert(ctx, md, &said)
	if err != nil {
		return said, err
	}
	if md.MetricCount() == 0 {
		return said, nil
	}
	clear(e.seen)
	app := &lenient{AppenderV2: e.db.AppenderV2(ctx), said: &said, seen: e.seen}
	e.converter.Reset(app)
	_, err = e.converter.FromMetrics(ctx, md, e.settings)
	e.converter.Reset(nil)
	if ctx.Err() != nil {
		said = Appended{}
		return said, errors.Join(ctx.Err(), app.Rollback())
	}
	if err != nil { // metrics that cannot be translated; all others were
		for _, one := range unjoin(err) {
			said.drop(Invalid, 1, one.Error())
		}
	}
	if err := app.Commit(); err != nil {
		err = fmt.Errorf("store %d samples: %w", said.Samples, err)
		said = Appended{}
		return said, err
	}
	return said, nil
}

// unjoin takes errors.Join apart.
func unjoin(err error) []error {
	j, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, one := range j.Unwrap() {
		list = append(list, unjoin(one)...)
	}
	return list
}
