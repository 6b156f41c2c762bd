package intake_test

import (
	"context"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// behindClock is a queue whose clock is behind this process'.
type behindClock struct {
	intake.Source
	by time.Duration
}

func (b *behindClock) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	r, err := b.Source.Browse(ctx, stream, o)
	return behindBrowser{r, b.by}, err
}

func (b *behindClock) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	st, err := b.Source.StreamState(ctx, stream)
	st.FirstTime, st.LastTime = st.FirstTime.Add(-b.by), st.LastTime.Add(-b.by)
	return st, err
}

type behindBrowser struct {
	queue.Browser
	by time.Duration
}

func (b behindBrowser) Next(ctx context.Context) (queue.Entry, error) {
	e, err := b.Browser.Next(ctx)
	e.StoredAt = e.StoredAt.Add(-b.by)
	return e, err
}
