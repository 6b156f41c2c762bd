package tenant

import (
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// maxKnown tenants are remembered; the one that was idle for longest of a few is
// forgotten for a new one, with what it had spent.
const maxKnown = 10000

// Registry knows the tenants. Safe for concurrent use.
type Registry struct {
	budget  int64
	metrics *Metrics

	mu     sync.RWMutex // guards everything below
	cfg    Config
	none   *limits            // of requests of no tenant
	others *limits            // of tenants that are not listed
	listed map[string]*limits // by name
	known  map[string]*Tenant
	labels map[string]bool // tenants that have their own
}

// New makes a registry of a process whose requests may hold budget bytes
// together. metrics is nil where nothing enters.
func New(c Config, budget int64, metrics *Metrics) *Registry {
	r := &Registry{budget: budget, metrics: metrics, known: map[string]*Tenant{}, labels: map[string]bool{}}
	apply := r.Prepare(c)
	apply()
	return r
}

// Prepare makes a configuration that Validate accepts ready; nothing changes
// until apply is called. Requests inside keep what they were let in with.
func (r *Registry) Prepare(c Config) (apply func()) {
	none, others := compile(c.Defaults, r.budget), compile(c.Defaults, r.budget/2)
	listed := make(map[string]*limits, len(c.Overrides))
	for _, o := range c.Overrides {
		listed[o.Name] = compile(o.over(c.Defaults), r.budget/2)
	}
	return func() {
		now := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cfg, r.none, r.others, r.listed = c, none, others, listed
		for name, t := range r.known {
			t.limit(r.limitsOf(name), now)
		}
	}
}

// limitsOf are those of a tenant. The lock is held.
func (r *Registry) limitsOf(name string) *limits {
	if name == "" {
		return r.none
	}
	if l, ok := r.listed[name]; ok {
		return l
	}
	return r.others
}

// Header is the name of the header that names a tenant, "" for none.
func (r *Registry) Header() string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.cfg.Header
}

// Allows tells whether a destination may have the data of a tenant.
func (r *Registry) Allows(tenant, destination string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.limitsOf(tenant).allows(destination)
}

// Enter finds the tenant of a request and lets it in, before anything of its
// body is read. who is nil where nobody authenticates. named are the values of
// the header. Whoever has a Pass calls End once.
func (r *Registry) Enter(who *identity.Identity, named []string, s otlp.Signal) (Pass, *otlp.Refusal) {
	name, refusal := nameOf(who, named)
	if refusal != nil {
		return Pass{}, refusal
	}
	t, refusal := r.enter(name)
	if refusal != nil {
		return Pass{}, refusal
	}
	p, refusal := t.enter(s, time.Now())
	if refusal != nil {
		t.count.refused.WithLabelValues(string(refusal.Reason)).Inc()
		t.passes.Add(-1)
		return Pass{}, refusal
	}
	return p, nil
}

// nameOf is the tenant that a request is of.
func nameOf(who *identity.Identity, named []string) (string, *otlp.Refusal) {
	own := ""
	if who != nil {
		own = who.Tenant
	}
	name := ""
	for _, n := range named {
		if n == "" {
			continue
		}
		if name != "" && n != name {
			return "", otlp.Refuse(otlp.ReasonMalformed, nil, "the request names two tenants: send one")
		}
		name = n
	}
	if name == "" {
		return own, nil
	}
	if err := identity.CheckTenant(name); err != nil {
		return "", otlp.Refuse(otlp.ReasonMalformed, nil, "the tenant %v", err)
	}
	if who != nil && !who.Speaks(name) {
		return "", otlp.Refuse(otlp.ReasonPermissionDenied, nil, "%s may not speak for tenant %s", who.Subject, name)
	}
	return name, nil
}

// enter is the tenant of that name with one request more inside.
func (r *Registry) enter(name string) (*Tenant, *otlp.Refusal) {
	r.mu.RLock()
	t, known := r.known[name]
	if known {
		t.passes.Add(1) // under the lock: who is inside is not forgotten
	}
	cfg := &r.cfg
	_, listed := r.listed[name]
	required, listedOnly := cfg.Required, cfg.ListedOnly
	r.mu.RUnlock()
	var refusal *otlp.Refusal
	switch {
	case required && name == "":
		refusal = otlp.Refuse(otlp.ReasonPermissionDenied, nil, "the request is of no tenant: name one by the header that tenants.header says, or use credentials that have one")
	case listedOnly && !listed:
		refusal = otlp.Refuse(otlp.ReasonPermissionDenied, nil, "tenant %s is not known here", shown(name))
	case known:
		t.used.Store(time.Now().Unix())
		return t, nil
	default:
		return r.meet(name), nil
	}
	if known {
		t.passes.Add(-1)
	}
	r.metrics.of(LabelOthers).refused.WithLabelValues(string(refusal.Reason)).Inc()
	return nil, refusal
}

// meet remembers a tenant.
func (r *Registry) meet(name string) *Tenant {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.known[name]
	if !ok {
		if len(r.known) >= maxKnown {
			r.forget()
		}
		t = &Tenant{name: name, count: r.metrics.of(r.label(name))}
		t.limit(r.limitsOf(name), now)
		r.known[name] = t
		r.metrics.known.Set(float64(len(r.known)))
	}
	t.passes.Add(1)
	t.used.Store(now.Unix())
	return t
}

// forgetAmong is how many are looked at for one to be forgotten.
const forgetAmong = 32

// forget makes room for one. Where all that it looks at have requests inside
// there is one more: those are bounded by the requests. The lock is held.
func (r *Registry) forget() {
	var oldest *Tenant
	looked := 0
	for _, t := range r.known { // in no order
		if t.passes.Load() == 0 && (oldest == nil || t.used.Load() < oldest.used.Load()) {
			oldest = t
		}
		if looked++; looked == forgetAmong {
			break
		}
	}
	if oldest != nil {
		delete(r.known, oldest.name)
	}
}

// label of a tenant in the metrics. The lock is held.
func (r *Registry) label(name string) string {
	_, listed := r.listed[name]
	switch {
	case name == "":
		return LabelNone
	case listed, r.labels[name]:
		return name
	case len(r.labels) < r.cfg.MaxLabels:
		r.labels[name] = true
		return name
	}
	return LabelOthers
}
