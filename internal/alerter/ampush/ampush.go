package ampush

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

const (
	// defaultEvery is the pace at which all that fires is pushed.
	defaultEvery = time.Minute
	// lives is for how many intervals what is pushed fires.
	lives = 4
	// resolvedFor is how long what has resolved is pushed.
	resolvedFor = 15 * time.Minute
	// gather is how long changes are waited for after one.
	gather = 500 * time.Millisecond
	// leastWait is that before a second try; it doubles up to the interval.
	leastWait = time.Second
	sayEvery  = time.Minute
)

// Options of a Pusher.
type Options struct {
	State   *alerts.State // kept up with the log by its owner
	Targets []alerting.Alertmanager
	// Leads tells whether this replica pushes.
	Leads    func() bool
	Every    time.Duration // 0: a minute
	TLSFiles *config.TLSFiles
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Pusher pushes. Run has it work.
type Pusher struct {
	o       Options
	targets []*target
	said    *app.Repeat
}

// New reads the certificates of the targets.
func New(o Options) (*Pusher, error) {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	p := &Pusher{o: o, said: app.NewRepeat(o.Logger, sayEvery)}
	for _, c := range o.Targets {
		t := &target{name: c.Name, url: strings.TrimSuffix(c.URL, "/") + "/api/v2/alerts", headers: c.Headers, metrics: o.Metrics}
		if strings.HasPrefix(c.URL, "https://") {
			var err error
			if t.tls, err = c.TLS.Open(config.TLSUse{Name: "alerter.alertmanagers." + c.Name + ".tls", Logger: o.Logger, Files: o.TLSFiles}); err != nil {
				return nil, fmt.Errorf("alerter.alertmanagers.%s.tls: %w", c.Name, err)
			}
		}
		t.refused = func(n int, err error) {
			p.said.Warn(t.name+" refuses", "alerts are refused, all or some of a request: they are pushed again with all others", "target", t.name, "alerts", n, "error", err)
		}
		o.Metrics.known(c.Name)
		p.targets = append(p.targets, t)
	}
	return p, nil
}

// Run pushes until ctx ends.
func (p *Pusher) Run(ctx context.Context) {
	defer p.said.Stop()
	var all sync.WaitGroup
	for _, t := range p.targets {
		all.Go(func() { p.serve(ctx, t) })
	}
	all.Wait()
}

// version of an alert, as targets are concerned.
type version struct{ watermark, resolved time.Time }

// serve keeps one target up with the state.
func (p *Pusher) serve(ctx context.Context, t *target) {
	defer t.close()
	var pushed map[alerts.Key]version // nil: all of it is due
	var whole time.Time               // when all was pushed last
	var wait time.Duration            // after a failure
	for ctx.Err() == nil {
		changed := p.o.State.Changed()
		var next time.Duration
		switch {
		case !p.o.Leads() || !p.o.State.CaughtUp():
			pushed, wait, next = nil, 0, min(time.Second, p.o.Every)
			changed = nil
		default:
			if time.Since(whole) >= p.o.Every {
				pushed = nil
			}
			began := time.Now()
			list, now := p.due(pushed, began)
			err := t.push(ctx, list, began, began.Add(lives*p.o.Every))
			if err != nil {
				if ctx.Err() != nil {
					return
				}
				p.said.Warn(t.name, "alerts are not pushed: they are tried again", "target", t.name, "alerts", len(list), "error", err)
				wait = min(max(2*wait, leastWait), p.o.Every)
				pushed, next, changed = nil, wait, nil
				break
			}
			if pushed == nil {
				whole = began
			}
			pushed, wait = now, 0
			next = time.Until(whole.Add(p.o.Every))
		}
		if !pause(ctx, next, changed) {
			continue
		}
		pause(ctx, min(gather, p.o.Every), nil) // others come with it
	}
}

// pause waits, and tells whether it ended early by a change.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(max(0, d))
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
		return true
	case <-ctx.Done():
	}
	return false
}

// due are the alerts to push: those that are not as they were pushed; and how all are
// now.
func (p *Pusher) due(pushed map[alerts.Key]version, now time.Time) (list []alerts.Alert, all map[alerts.Key]version) {
	all = map[alerts.Key]version{}
	for f := (alerts.Filter{}); ; {
		page := p.o.State.Alerts(f)
		for i := range page {
			a := &page[i]
			if a.Pushed || !a.ResolvedAt.IsZero() && now.Sub(a.ResolvedAt) > resolvedFor {
				continue
			}
			v := version{a.Watermark, a.ResolvedAt}
			if all[a.Key] = v; pushed == nil || pushed[a.Key] != v {
				list = append(list, *a)
			}
		}
		if len(page) < alerts.MaxList {
			return list, all
		}
		f.Behind = page[len(page)-1].Cursor()
	}
}
