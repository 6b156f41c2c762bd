// Package stats makes statistics of what happened to alerts, event by event.
//
// It is pure: no clock and no I/O. Times are those at which the log stored things. What
// it remembers is bounded, and what that cuts off is counted and said.
package stats

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// FlapWithin is how soon after its end an alert has to fire again to have flapped.
const FlapWithin = 15 * time.Minute

// Bounds of what is remembered at a time.
const (
	maxAlerts    = 100_000
	maxIncidents = 50_000
	maxSamples   = 50_000 // of each kind of duration
	maxNames     = 5_000  // rules, tenants, receivers; of each
)

// Stats of a window of time.
type Stats struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	First time.Time `json:"first,omitzero" doc:"When the first event of the window was stored; the log may have been tidied before it."`

	Fired    int `json:"fired" doc:"Times that an alert began to fire."`
	Resolved int `json:"resolved" doc:"Times that one ended."`
	Flaps    int `json:"flaps" doc:"Times that one fired again within 15 minutes of its end."`

	Incidents Incidents `json:"incidents"`
	Silences  int       `json:"silences" doc:"That were made or changed."`

	Rules      []Rule  `json:"rules" doc:"The noisiest first."`
	Severities []Count `json:"severities" doc:"What fired, the worst first."`
	Tenants    []Count `json:"tenants" doc:"What fired, the most first."`

	Ack          Times      `json:"time_to_ack" doc:"From the opening of an incident to its first ack."`
	Resolve      Times      `json:"time_to_resolve" doc:"From the opening of an incident to its end."`
	AlertResolve Times      `json:"alert_time_to_resolve" doc:"From when an alert was told to fire to its end."`
	Receivers    []Receiver `json:"receivers" doc:"By the number of notifications."`
	// Cut counts what was left out of counts by name and of times, as there was too
	// much to remember.
	Cut int `json:"cut,omitempty" doc:"How often something was left out of the counts by name and of the times, as there was too much; the totals have all."`
}

// Incidents are counts of what happened to them.
type Incidents struct {
	Opened    int `json:"opened"`
	Reopened  int `json:"reopened"`
	Closed    int `json:"closed"`
	Acked     int `json:"acked" doc:"Acks, each of an incident that somebody has already among them."`
	Escalated int `json:"escalated" doc:"Levels that were told."`
	Exhausted int `json:"exhausted" doc:"Policies that came to their end, and nobody answered."`
}

// Rule is what one rule did.
type Rule struct {
	Rule     string  `json:"rule"`
	Fired    int     `json:"fired"`
	Resolved int     `json:"resolved"`
	Flaps    int     `json:"flaps"`
	Firing   float64 `json:"firing_seconds" doc:"In all, of those that ended in the window and began in it."`
}

// Count is how often something fired.
type Count struct {
	Name  string `json:"name"`
	Fired int    `json:"fired"`
}

// Times are of so many durations.
type Times struct {
	Count  int     `json:"count"`
	Mean   float64 `json:"mean_seconds"`
	Median float64 `json:"median_seconds"`
	Max    float64 `json:"max_seconds"`
}

// Receiver is how notifications to one went.
type Receiver struct {
	Receiver string  `json:"receiver" doc:"name/kind/index."`
	Sent     int     `json:"sent"`
	Failed   int     `json:"failed" doc:"Times that one could not be sent and is tried again, counted once for each change of what is to be told."`
	Dropped  int     `json:"dropped" doc:"Refused for good."`
	Success  float64 `json:"success" doc:"The part that was sent at last, of those that were sent or dropped; 1 where there was none."`
	Mean     float64 `json:"mean_seconds" doc:"Of sending."`
	Max      float64 `json:"max_seconds"`
}

// Fold makes Stats. Not safe for concurrent use.
type Fold struct {
	s         Stats
	alerts    map[alerts.Key]*alert
	incidents map[string]*incident
	rules     map[string]*Rule
	severity  map[string]int
	tenants   map[string]int
	receivers map[string]*receiver
	ack       durations
	resolve   durations
	alert     durations
	swept     int // how many alerts are to come before it is looked for ended ones again
}

type alert struct {
	rule         string
	fired, ended time.Time
}

type incident struct {
	opened time.Time
	acked  bool
}

type receiver struct {
	Receiver
	seconds float64
}

// New begins a window, from since to before until.
func New(since, until time.Time) *Fold {
	return &Fold{s: Stats{Since: since.UTC(), Until: until.UTC()}, alerts: map[alerts.Key]*alert{}, incidents: map[string]*incident{}, rules: map[string]*Rule{},
		severity: map[string]int{}, tenants: map[string]int{}, receivers: map[string]*receiver{}}
}

// Add takes the next event, in the order of the log; what is outside of the window is
// passed over.
func (f *Fold) Add(stored time.Time, e *alerts.Event) {
	if stored.Before(f.s.Since) || !stored.Before(f.s.Until) {
		return
	}
	if f.s.First.IsZero() {
		f.s.First = stored.UTC()
	}
	n := &f.s.Incidents
	switch e.Kind {
	case alerts.EventFired:
		f.fired(stored, e)
	case alerts.EventResolved:
		f.resolved(stored, e)
	case alerts.EventOpened, alerts.EventReopened:
		if e.Kind == alerts.EventOpened {
			n.Opened++
		} else {
			n.Reopened++
		}
		f.opened(stored, e.Incident)
	case alerts.EventClosed:
		n.Closed++
		if i := f.incidents[e.Incident]; i != nil {
			f.sample(&f.resolve, stored.Sub(i.opened))
			delete(f.incidents, e.Incident)
		}
	case alerts.EventAcked:
		n.Acked++
		if i := f.incidents[e.Incident]; i != nil && !i.acked {
			i.acked = true
			f.sample(&f.ack, stored.Sub(i.opened))
		}
	case alerts.EventEscalated:
		n.Escalated++
	case alerts.EventExhausted:
		n.Exhausted++
	case alerts.EventSilenced:
		f.s.Silences++
	case alerts.EventNotified, alerts.EventNotifyFailed, alerts.EventNotifyDropped:
		f.notified(e)
	}
}

func (f *Fold) opened(stored time.Time, id string) {
	if f.incidents[id] == nil && len(f.incidents) >= maxIncidents {
		f.s.Cut++
		return
	}
	f.incidents[id] = &incident{opened: stored}
}

func (f *Fold) fired(stored time.Time, e *alerts.Event) {
	f.s.Fired++
	if e.Fired == nil {
		return
	}
	count(f, f.severity, string(e.Fired.Severity()))
	count(f, f.tenants, e.Tenant)
	r := f.rule(e.Fired.Rule)
	if r != nil {
		r.Fired++
	}
	key := e.Fired.Key
	was := f.alerts[key]
	if was == nil {
		if !f.room(stored) {
			f.s.Cut++
			return
		}
		was = &alert{rule: e.Fired.Rule}
		f.alerts[key] = was
	}
	if !was.ended.IsZero() && stored.Sub(was.ended) <= FlapWithin {
		f.s.Flaps++
		if r != nil {
			r.Flaps++
		}
	}
	was.fired, was.ended = stored, time.Time{}
}

func (f *Fold) resolved(stored time.Time, e *alerts.Event) {
	f.s.Resolved++
	a := f.alerts[e.Alert]
	if a == nil {
		return // it began before the window, or was cut
	}
	if r := f.rule(a.rule); r != nil {
		r.Resolved++
		if !a.fired.IsZero() {
			r.Firing += stored.Sub(a.fired).Seconds()
		}
	}
	if !a.fired.IsZero() {
		f.sample(&f.alert, stored.Sub(a.fired))
	}
	a.fired, a.ended = time.Time{}, stored
}

// room makes some by forgetting those that can flap no more.
func (f *Fold) room(at time.Time) bool {
	if len(f.alerts) < maxAlerts {
		return true
	}
	if f.swept > 0 {
		f.swept--
		return false
	}
	maps.DeleteFunc(f.alerts, func(_ alerts.Key, a *alert) bool {
		return !a.ended.IsZero() && at.Sub(a.ended) > FlapWithin
	})
	if len(f.alerts) < maxAlerts {
		return true
	}
	f.swept = maxAlerts / 10
	return false
}

func (f *Fold) rule(name string) *Rule {
	r := f.rules[name]
	if r == nil {
		if len(f.rules) >= maxNames {
			f.s.Cut++
			return nil
		}
		r = &Rule{Rule: name}
		f.rules[name] = r
	}
	return r
}

func (f *Fold) notified(e *alerts.Event) {
	x := e.Notified
	if x == nil {
		return
	}
	r := f.receivers[x.Receiver]
	if r == nil {
		if len(f.receivers) >= maxNames {
			f.s.Cut++
			return
		}
		r = &receiver{Receiver: Receiver{Receiver: x.Receiver}}
		f.receivers[x.Receiver] = r
	}
	switch e.Kind {
	case alerts.EventNotified:
		r.Sent++
		s := float64(x.Millis) / 1000
		r.seconds += s
		r.Max = max(r.Max, s)
	case alerts.EventNotifyFailed:
		r.Failed++
	default:
		r.Dropped++
	}
}

func count(f *Fold, m map[string]int, name string) {
	if _, known := m[name]; !known && len(m) >= maxNames {
		f.s.Cut++
		return
	}
	m[name]++
}

// durations keep what Times are made of: all for the mean, the first maxSamples for the
// median.
type durations struct {
	n        int
	sum, max float64
	list     []float64
}

func (f *Fold) sample(d *durations, x time.Duration) {
	s := max(0, x.Seconds()) // the clock of another server
	d.n++
	d.sum += s
	d.max = max(d.max, s)
	if len(d.list) >= maxSamples {
		f.s.Cut++
		return
	}
	d.list = append(d.list, s)
}

func (d *durations) times() Times {
	if d.n == 0 {
		return Times{}
	}
	list := slices.Sorted(slices.Values(d.list))
	median := list[len(list)/2]
	if len(list)%2 == 0 {
		median = (median + list[len(list)/2-1]) / 2
	}
	return Times{Count: d.n, Mean: d.sum / float64(d.n), Median: median, Max: d.max}
}

// Stats are those of what was added until now; at most so many rules, 0: all.
func (f *Fold) Stats(rules int) Stats {
	s := f.s
	s.Ack, s.Resolve, s.AlertResolve = f.ack.times(), f.resolve.times(), f.alert.times()
	s.Rules = make([]Rule, 0, len(f.rules))
	for _, r := range f.rules {
		s.Rules = append(s.Rules, *r)
	}
	slices.SortFunc(s.Rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(b.Fired, a.Fired), cmp.Compare(b.Firing, a.Firing), cmp.Compare(a.Rule, b.Rule))
	})
	if rules > 0 {
		s.Rules = s.Rules[:min(rules, len(s.Rules))]
	}
	s.Severities, s.Tenants = counts(f.severity), counts(f.tenants)
	slices.SortStableFunc(s.Severities, func(a, b Count) int { return alerts.Severity(b.Name).Rank() - alerts.Severity(a.Name).Rank() })
	s.Receivers = make([]Receiver, 0, len(f.receivers))
	for _, r := range f.receivers {
		r.Success = 1
		if all := r.Sent + r.Dropped; all > 0 {
			r.Success = float64(r.Sent) / float64(all)
		} else if r.Failed > 0 {
			r.Success = 0 // it is still tried
		}
		if r.Sent > 0 {
			r.Mean = r.seconds / float64(r.Sent)
		}
		s.Receivers = append(s.Receivers, r.Receiver)
	}
	slices.SortFunc(s.Receivers, func(a, b Receiver) int {
		return cmp.Or(cmp.Compare(b.Sent+b.Failed+b.Dropped, a.Sent+a.Failed+a.Dropped), cmp.Compare(a.Receiver, b.Receiver))
	})
	return s
}

func counts(m map[string]int) []Count {
	out := make([]Count, 0, len(m))
	for name, n := range m {
		out = append(out, Count{name, n})
	}
	slices.SortFunc(out, func(a, b Count) int { return cmp.Or(cmp.Compare(b.Fired, a.Fired), cmp.Compare(a.Name, b.Name)) })
	return out
}
