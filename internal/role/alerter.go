package role

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// alertsStop bounds the end of what is being sent to receivers.
const alertsStop = 40 * time.Second

// Alerter runs an alerter until ctx ends. Without rules it still serves what others
// post, and what people do.
func Alerter(ctx context.Context, p Process) error {
	p.drains = true
	p.Server = nil
	return run(ctx, "alerter", p, func(ctx context.Context, b *base) error {
		q, plan, err := b.openQueue(ctx)
		if err != nil {
			return err
		}
		b.ignores(ofGateways...)
		b.ignores(ofWorkers...)
		b.serveQueue(ctx, q, plan, false)
		if len(b.s.Alerter.Rules) == 0 {
			b.log.Warn("no alerting rules are configured: this alerter evaluates nothing; name files under alerter.rules, or predefined:cpu and others that come with Penstock")
		}
		return b.alerter(q, plan)
	})
}

// alerting is the configuration of the alerter, with the rules that the command adds.
func (b *base) alerting(s *settings.Settings) alerting.Config {
	c := s.Alerter
	c.Rules = slices.Concat(c.Rules, b.p.Rules)
	return c
}

// alerter runs one in this process.
func (b *base) alerter(q queue.Queue, plan topology.Plan) error {
	if b.p.Alerter == nil {
		return errors.New("BUG: this program has no alerter linked")
	}
	rank := new(atomic.Int64)
	links := alerting.NewLinks(b.s.Alerter, alerting.NewLinkMetrics(b.reg))
	a, err := b.p.Alerter(alerting.Options{Config: b.alerting(b.s), Links: links, Queue: q, Streams: plan.Streams(otlp.Metrics), Holder: b.id,
		Rank: func() int { return int(rank.Load()) }, TLSFiles: b.files, Registry: b.reg, Logger: app.Component(b.log, "alerter")})
	if err != nil {
		return err
	}
	b.app.OnStop("end what is being sent to receivers", alertsStop, func(context.Context) error { return a.Close() })
	b.app.Go("rank among alerters", func(ctx context.Context) error { return watchRank(ctx, b.eye, b.id, rank) })
	b.app.Go("alerter", a.Run)
	b.readiness("alerter", a.Ready)
	b.status("alerter", func(context.Context) any { return a.Status() })
	b.reload.Add(reload.Part{Name: "the alerter", Keys: []string{"alerter.rules", "alerter.alertmanager", "alerter.escalation"}, Files: true,
		Prepare: func(s *settings.Settings) (func(), error) { return a.Prepare(b.alerting(s)) }})
	if b.api != nil {
		b.api.AttachAlerts(a)
		b.api.ServeAckLinks(links)
		b.app.OnStop("answer for alerts no more", tellTimeout, func(context.Context) error { b.api.AttachAlerts(nil); return nil })
	}
	return nil
}

// watchRank keeps the place of a process among the alerters that live, by their ids,
// until ctx ends. While they cannot be asked for it is as it was.
func watchRank(ctx context.Context, eye *fleet.Eye, id string, rank *atomic.Int64) error {
	for t := time.NewTicker(fleet.Every); ; {
		if seen, err := eye.Look(ctx); err == nil {
			rank.Store(int64(rankOf(seen, id)))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// rankOf counts the alerters before this one.
func rankOf(seen []fleet.Sighting, id string) (n int) {
	for _, s := range seen {
		if s.Alerts && s.ID < id && (s.State == fleet.Alive || s.State == fleet.IsLate) {
			n++
		}
	}
	return n
}
