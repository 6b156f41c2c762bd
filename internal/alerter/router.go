package alerter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

const (
	// gather is how long changes of the state are waited for after one.
	gather = 100 * time.Millisecond
	// oweEvery is how often it is looked at who is owed the end of what has ended.
	oweEvery = 30 * time.Second
)

// RouterOptions are what a Router works with.
type RouterOptions struct {
	Config *amnotify.Config
	State  *alerts.State // kept up with the log by its owner
	// Look is told that a group is to be looked at. It returns at once.
	Look func(alerts.ClaimKey)
	// Links acknowledge incidents; nil: there are none.
	Links  *alerting.Links
	Logger *slog.Logger
}

// Router leads the alerts of the state to receivers, by the routes of the
// configuration: for each tenant apart. It answers what groups are, and sends.
type Router struct {
	o    RouterOptions
	anew chan struct{} // has a token when the configuration was replaced

	mu       sync.Mutex
	config   *amnotify.Config              // mu
	tenants  map[string]*amnotify.Notifier // mu
	put      map[alerts.Key]version        // mu; what the notifiers have
	silences []alerts.Silence              // mu; what the notifiers have
	closed   bool                          // mu
}

// version of an alert, as notifiers are concerned.
type version struct{ watermark, resolved time.Time }

// NewRouter makes one. Close ends it.
func NewRouter(o RouterOptions) *Router {
	return &Router{o: o, anew: make(chan struct{}, 1), config: o.Config, tenants: map[string]*amnotify.Notifier{}, put: map[alerts.Key]version{}}
}

// Run keeps receivers up with the state until ctx ends, and then returns nil.
func (r *Router) Run(ctx context.Context) error {
	owe := time.NewTicker(oweEvery)
	defer owe.Stop()
	for {
		changed := r.o.State.Changed()
		if r.o.State.CaughtUp() {
			if err := r.sync(ctx); err != nil {
				return err
			}
		}
		select {
		case <-changed:
			pause(ctx, gather)
		case <-owe.C:
			for _, k := range r.o.State.Owed() {
				r.o.Look(k)
			}
		case <-r.anew:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Load replaces the configuration. Run makes the groups anew, of all that fires; what
// was told is not told again, as the claims know it.
func (r *Router) Load(c *amnotify.Config) {
	r.mu.Lock()
	old := r.tenants
	r.config, r.tenants, r.put, r.silences = c, map[string]*amnotify.Notifier{}, map[alerts.Key]version{}, nil
	r.mu.Unlock()
	for _, n := range old {
		n.Close()
	}
	select {
	case r.anew <- struct{}{}:
	default:
	}
}

// Close ends grouping. Nothing else may be called then.
func (r *Router) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, n := range r.tenants {
		n.Close()
	}
}

// sync puts what has changed.
func (r *Router) sync(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	changed := map[string][]alerts.Alert{}
	seen := make(map[alerts.Key]version, len(r.put))
	for f := (alerts.Filter{}); ; {
		page := r.o.State.Alerts(f)
		for i := range page {
			a := &page[i]
			v := version{a.Watermark, a.ResolvedAt}
			if seen[a.Key] = v; r.put[a.Key] != v {
				changed[a.Tenant] = append(changed[a.Tenant], *a)
			}
		}
		if len(page) < alerts.MaxList {
			break
		}
		f.Behind = page[len(page)-1].Cursor()
	}
	if err := r.silence(); err != nil {
		return err
	}
	var failed error
	for tenant, list := range changed {
		n, err := r.of(tenant)
		if err == nil {
			err = n.Put(ctx, list...)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("alerts of tenant %q: %w", tenant, err))
		}
	}
	if failed == nil {
		r.put = seen
	}
	return failed
}

// silence gives the notifiers what has changed of the silences. mu is held.
func (r *Router) silence() error {
	list := r.o.State.Silences()
	if slices.EqualFunc(list, r.silences, func(a, b alerts.Silence) bool {
		return a.ID == b.ID && a.Ends.Equal(b.Ends) && a.Starts.Equal(b.Starts) && slices.Equal(a.Matchers, b.Matchers)
	}) {
		return nil
	}
	r.silences = list
	for tenant, n := range r.tenants {
		if err := r.silenceOf(tenant, n); err != nil {
			return err
		}
	}
	return nil
}

// silenceOf gives one notifier its tenant's. mu is held.
func (r *Router) silenceOf(tenant string, n *amnotify.Notifier) error {
	var own []alerts.Silence
	for _, s := range r.silences {
		if s.Tenant == tenant {
			own = append(own, s)
		}
	}
	if err := n.SetSilences(own); err != nil {
		return fmt.Errorf("silences of tenant %q: %w", tenant, err)
	}
	return nil
}

// of is the notifier of a tenant. mu is held.
func (r *Router) of(tenant string) (*amnotify.Notifier, error) {
	if n := r.tenants[tenant]; n != nil {
		return n, nil
	}
	n, err := amnotify.New(r.config, amnotify.Options{Tenant: tenant, Flush: r.o.Look, Logger: r.o.Logger})
	if err != nil {
		return nil, err
	}
	if err := r.silenceOf(tenant, n); err != nil {
		n.Close()
		return nil, err
	}
	r.tenants[tenant] = n
	return n, nil
}

func (r *Router) configuration() *amnotify.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config
}

func (r *Router) have(tenant string) *amnotify.Notifier {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tenants[tenant]
}

// Group is that of deliver.Options. A group that is not known any more, after a
// restart or as its route is gone, is what is owed of it.
func (r *Router) Group(ctx context.Context, k alerts.ClaimKey) (n alerts.Notification, ok bool) {
	defer func() { n.Ack = r.ack }()
	if strings.HasPrefix(k.Group, incidentPrefix) {
		return r.incident(ctx, k)
	}
	if n := r.have(k.Tenant); n != nil {
		if g, ok := n.Group(ctx, k); ok {
			r.renew(&g)
			return g, len(g.Alerts) > 0
		}
	}
	sent, ok := r.o.State.Sent(k)
	if !ok {
		return alerts.Notification{}, false
	}
	out := alerts.Notification{ClaimKey: k, SendResolved: true, Last: sent}
	for _, key := range sent.Firing {
		switch a, ok := r.o.State.Alert(key); {
		case !ok: // it ended so long ago that nobody knows it
		case a.ResolvedAt.IsZero():
			return alerts.Notification{}, false // it has another group now
		default:
			out.Alerts = append(out.Alerts, a)
		}
	}
	return out, len(out.Alerts) > 0
}

// renew has a group say what the state says, which the notifiers get a little later: an
// alert that has ended has, and one that fires anew has not; whether that is muted is
// known then.
func (r *Router) renew(n *alerts.Notification) {
	n.Alerts = slices.DeleteFunc(n.Alerts, func(a alerts.Alert) bool {
		now, ok := r.o.State.Alert(a.Key)
		return ok && now.ResolvedAt.IsZero() && !a.ResolvedAt.IsZero()
	})
	for i := range n.Alerts {
		if now, ok := r.o.State.Alert(n.Alerts[i].Key); ok {
			n.Alerts[i] = now
		}
	}
}

// ack is the link for an incident.
func (r *Router) ack(incident string) string { return r.o.Links.Make(incident, time.Now()) }

// Send is that of deliver.Options.
func (r *Router) Send(ctx context.Context, n alerts.Notification) ([]byte, error) {
	r.mu.Lock()
	to, err := r.of(n.Tenant)
	r.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("receiver %s: %w", n.Receiver, err)
	}
	return to.Send(ctx, n)
}
