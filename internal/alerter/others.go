package alerter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amapi"
	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/ampush"
	"github.com/penstock-otel/penstock/internal/alerter/heartbeat"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/app"
)

// others are those that this alerter speaks with beside receivers: who posts alerts to
// it, whom it pushes them to, and who listens whether it lives.
type others struct {
	front atomic.Pointer[alerting.Front] // nil: nobody serves the API yet
	api   *amapi.API
	push  *ampush.Pusher
	well  func(context.Context) error
	o     *Options
	leads func() bool
}

// maxLag is how far behind the present evaluation may be, beside the offset of queries,
// to be called that of the present.
const maxLag = time.Minute

func (a *Alerter) newOthers() (*others, error) {
	s := &others{o: &a.o, leads: a.lead.Leads, well: a.well}
	s.api = amapi.New(amapi.Options{State: a.state, Log: a.record, PolicyOf: a.PolicyOf, Muted: a.Muted, Leads: a.lead.Leads, Version: app.Version().Version,
		Config: func() *amnotify.Config { return a.files.Load().notify },
		Tenant: func(r *http.Request) string { return s.front.Load().Tenant(r) },
		Actor:  func(r *http.Request) string { return s.front.Load().Actor(r) },
		Acted: func(r *http.Request, action string, err error, args ...any) {
			s.front.Load().Acted(r, action, err, args...)
		}, Metrics: a.o.Metrics.api, Logger: a.o.Logger})
	var err error
	s.push, err = ampush.New(ampush.Options{State: a.state, Targets: a.o.Config.Alertmanagers, Leads: a.lead.Leads, TLSFiles: a.o.TLSFiles, Metrics: a.o.Metrics.push, Logger: a.o.Logger})
	return s, err
}

// run speaks with them until ctx ends.
func (s *others) run(ctx context.Context, start func(func() error)) {
	start(func() error { s.api.Run(ctx); return nil })
	start(func() error { s.push.Run(ctx); return nil })
	if s.o.Config.Heartbeat.URL != "" {
		start(func() error {
			heartbeat.Run(ctx, heartbeat.Options{Config: s.o.Config.Heartbeat, Leads: s.leads, Well: s.well, Metrics: s.o.Metrics.beat, Logger: s.o.Logger})
			return nil
		})
	}
}

// well is nil while this replica evaluates the present and can have people told.
func (a *Alerter) well(ctx context.Context) error {
	if err := a.Ready(ctx); err != nil {
		return err
	}
	if lag, most := time.Since(a.intake.Watermark()), maxLag+time.Duration(a.o.Config.QueryOffset); lag > most {
		return fmt.Errorf("the metric streams are read up to %s ago: want at most %s", lag.Round(time.Second), most)
	}
	if r, ok := a.store.(interface{ Ready(context.Context) error }); ok {
		if err := r.Ready(ctx); err != nil {
			return fmt.Errorf("alerter.redis: %w", err)
		}
	}
	return nil
}

// Alertmanager implements alerting.Service. The last front is that of all requests.
func (a *Alerter) Alertmanager(f alerting.Front) http.Handler {
	if f.Tenant == nil || f.Actor == nil || f.Acted == nil {
		panic(errors.New("BUG: a front without all of its functions"))
	}
	a.others.front.Store(&f)
	return a.others.api
}
