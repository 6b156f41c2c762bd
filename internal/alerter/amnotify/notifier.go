package amnotify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Options of a Notifier.
type Options struct {
	// Tenant whose alerts it has: alerts of two tenants are never in one group.
	Tenant string
	// Flush is told that a group of a receiver is to be looked at: it waited for
	// its others, changed, or some time has passed. It must return at once.
	Flush  func(alerts.ClaimKey)
	Logger *slog.Logger
}

// Bounds of a Notifier.
const (
	// resolvedFor is how long a group has an alert that has resolved: longer than
	// any receiver is waited for in vain.
	resolvedFor = time.Hour
	// collectEvery is how often what has resolved is let go of.
	collectEvery = 5 * time.Minute
	// maxGroups bounds the groups of one tenant.
	maxGroups = 10_000
)

// Notifier groups the alerts of one tenant by the routes of its Config and says
// when a group is to be told and what. It sends only when Send is called. Safe for
// concurrent use.
type Notifier struct {
	config   *Config
	o        Options
	provider *mem.Alerts
	dispatch *dispatch.Dispatcher
	inhibit  *inhibit.Inhibitor
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex
	alerts   map[model.Fingerprint]alerts.Alert // mu; as they were put
	groups   map[alerts.ClaimKey]*group         // mu
	silences []silence                          // mu
	cleared  time.Time                          // mu; when groups were last gone through
}

// group is one of the dispatcher's, for one integration.
type group struct {
	key         string // upstream's, from which receivers make the identity of an incident
	receiver    string
	integration notify.Integration
	labels      model.LabelSet
	routeLabels model.LabelSet
	repeat      time.Duration
	mute        []string // names of time intervals
	active      []string
	members     map[model.Fingerprint]struct{}
}

// New starts grouping. Close ends it.
func New(c *Config, o Options) (*Notifier, error) {
	ctx, cancel := context.WithCancel(context.Background())
	log := o.Logger
	quiet := slog.New(slog.DiscardHandler) // what matters of upstream's is in the events
	provider, err := mem.NewAlerts(ctx, collectEvery, 0, nil, quiet, eventrecorder.Recorder{}, prometheus.NewRegistry(), featurecontrol.NoopFlags{})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("alerts in memory: %w", err)
	}
	n := &Notifier{config: c, o: o, provider: provider, cancel: cancel,
		alerts: map[model.Fingerprint]alerts.Alert{}, groups: map[alerts.ClaimKey]*group{}}
	n.inhibit = inhibit.NewInhibitor(provider, c.inhibit, quiet, eventrecorder.Recorder{})
	n.dispatch = dispatch.NewDispatcher(provider, c.routes, flush{n}, marker.NewGroupMarker(), func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) },
		collectEvery, limits{}, log, eventrecorder.Recorder{}, nil, c.texts)
	n.running.Go(n.inhibit.Run)
	n.inhibit.WaitForLoading()
	n.running.Go(func() { n.dispatch.Run(time.Now()) })
	n.dispatch.WaitForLoading()
	return n, nil
}

type limits struct{}

func (limits) MaxNumberOfAggregationGroups() int { return maxGroups }

// Close ends grouping; nothing is flushed after it.
func (n *Notifier) Close() {
	n.dispatch.Stop()
	n.inhibit.Stop()
	n.provider.Close()
	n.cancel()
	n.running.Wait()
}

// Put tells how alerts are now. What fires is put again and again, or once: it
// fires until it is put as resolved.
func (n *Notifier) Put(ctx context.Context, list ...alerts.Alert) error {
	now := time.Now()
	up := make([]*alert.Alert, 0, len(list))
	n.mu.Lock()
	for _, a := range list {
		u := upstream(&a, now)
		fp := u.Fingerprint()
		if have, ok := n.alerts[fp]; ok && !a.ResolvedAt.IsZero() && !have.ResolvedAt.IsZero() {
			continue // told already that it has resolved
		}
		n.alerts[fp] = a
		up = append(up, u)
	}
	n.collect(now)
	n.mu.Unlock()
	return n.provider.Put(ctx, up...)
}

// collect lets go of alerts that resolved long ago and of groups without any. mu is
// held.
func (n *Notifier) collect(now time.Time) {
	if now.Sub(n.cleared) < collectEvery {
		return
	}
	n.cleared = now
	for fp, a := range n.alerts {
		if !a.ResolvedAt.IsZero() && now.Sub(a.ResolvedAt) > resolvedFor {
			delete(n.alerts, fp)
		}
	}
	for k, g := range n.groups {
		for fp := range g.members {
			if _, ok := n.alerts[fp]; !ok {
				delete(g.members, fp)
			}
		}
		if len(g.members) == 0 {
			delete(n.groups, k)
		}
	}
}

// flush is the end of upstream's pipeline: a group is noted, and said to be looked
// at. Nothing is sent here, so nothing that is sent is cut off by the next flush.
type flush struct{ n *Notifier }

func (f flush) Exec(ctx context.Context, _ *slog.Logger, list ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	for _, k := range f.n.note(ctx, list) {
		f.n.o.Flush(k)
	}
	return ctx, nil, nil
}

// note takes over what the dispatcher says of a group.
func (n *Notifier) note(ctx context.Context, list []*alert.Alert) (keys []alerts.ClaimKey) {
	key, _ := notify.GroupKey(ctx)
	receiver, _ := notify.ReceiverName(ctx)
	sum := sha256.Sum256([]byte(key))
	id := hex.EncodeToString(sum[:16])
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, i := range n.config.integrations[receiver] {
		k := alerts.ClaimKey{Tenant: n.o.Tenant, Group: id, Receiver: target(receiver, i)}
		g := n.groups[k]
		if g == nil {
			g = &group{key: key, receiver: receiver, integration: i, members: map[model.Fingerprint]struct{}{}}
			n.groups[k] = g
		}
		g.labels, _ = notify.GroupLabels(ctx)
		g.routeLabels, _ = notify.RouteLabels(ctx)
		g.repeat, _ = notify.RepeatInterval(ctx)
		g.mute, _ = notify.MuteTimeIntervalNames(ctx)
		g.active, _ = notify.ActiveTimeIntervalNames(ctx)
		for _, a := range list {
			g.members[a.Fingerprint()] = struct{}{}
		}
		keys = append(keys, k)
	}
	return keys
}

// target is the name of an integration in a ClaimKey.
func target(receiver string, i notify.Integration) string {
	return fmt.Sprintf("%s/%s/%d", receiver, i.Name(), i.Index())
}

// Group is what an integration is to be told of a group now, false when the group
// is not known (any more).
func (n *Notifier) Group(ctx context.Context, k alerts.ClaimKey) (alerts.Notification, bool) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.groups[k]
	if g == nil {
		return alerts.Notification{}, false
	}
	out := alerts.Notification{ClaimKey: k, GroupLabels: labels(g.labels), Repeat: g.repeat, SendResolved: g.integration.SendResolved()}
	quiet := n.config.quiet(g.mute, g.active, now) != ""
	for fp := range g.members {
		a, ok := n.alerts[fp]
		if !ok || a.ResolvedAt.IsZero() && (quiet || len(n.muted(ctx, &a, now)) > 0) {
			continue
		}
		out.Alerts = append(out.Alerts, a)
	}
	slices.SortFunc(out.Alerts, func(a, b alerts.Alert) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return out, true
}

// Muted names what keeps notifications of an alert back: silence IDs, and
// "inhibited". Time intervals are of routes, not of alerts.
func (n *Notifier) Muted(ctx context.Context, a *alerts.Alert) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.muted(ctx, a, time.Now())
}

// Inhibited is what Muted says of an alert that another one inhibits.
const Inhibited = "inhibited"

func (n *Notifier) muted(ctx context.Context, a *alerts.Alert, now time.Time) (by []string) {
	set := labelSet(a.Labels)
	for i := range n.silences {
		if s := &n.silences[i]; s.holds(now) && s.matchers.Matches(set) {
			by = append(by, s.ID)
		}
	}
	if n.inhibit.Mutes(ctx, set) {
		by = append(by, Inhibited)
	}
	return by
}

// keyOf is upstream's key of a group and the labels of its route. What has no group
// here, as a level of an incident, has the group of the claim.
func (n *Notifier) keyOf(m alerts.Notification) (string, model.LabelSet) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if g := n.groups[m.ClaimKey]; g != nil && m.Told == nil {
		return g.key, g.routeLabels
	}
	return m.Group, nil
}
