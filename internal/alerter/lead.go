package alerter

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/pkg/queue"
)

const (
	// leaseName is the lease of the replica that tells.
	leaseName = "alerter-teller"
	// leaseFor is its time to live; it is renewed after a third.
	leaseFor = 15 * time.Second
)

// Lead is whether this replica tells what all find.
type Lead struct {
	q      queue.Leaser
	holder string
	log    *slog.Logger
	said   *app.Repeat
	until  atomic.Int64 // Unix time in ns
}

// NewLead makes one for a process; holder is unique to it.
func NewLead(q queue.Leaser, holder string, log *slog.Logger) *Lead {
	return &Lead{q: q, holder: holder, log: log, said: app.NewRepeat(log, sayEvery)}
}

// Leads tells whether the lease is this process's, by its own clock.
func (l *Lead) Leads() bool { return time.Now().UnixNano() < l.until.Load() }

// Run keeps the lease until ctx ends, and then gives it back.
func (l *Lead) Run(ctx context.Context) {
	t := time.NewTicker(leaseFor / 3)
	defer t.Stop()
	for {
		l.renew(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			led := l.Leads()
			l.until.Store(0)
			if led {
				within, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseFor/3)
				defer cancel()
				if err := l.q.Release(within, leaseName, l.holder); err != nil {
					l.log.Warn("alerts: the lease of who tells could not be given back: another tells when it has ended", "error", err)
				}
			}
			l.said.Stop()
			return
		}
	}
}

func (l *Lead) renew(ctx context.Context) {
	asked := time.Now()
	held, err := l.q.Lease(ctx, leaseName, l.holder, leaseFor)
	led := l.Leads()
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		l.said.Warn("lease", "alerts: the lease of who tells is not known: what was found is told when it is", "error", err)
		return // what it had it has until its end
	case held:
		l.until.Store(asked.Add(leaseFor).UnixNano())
	default:
		l.until.Store(0)
	}
	if held != led {
		l.log.Info("alerts", "tells", held)
	}
}
