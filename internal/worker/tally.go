package worker

import (
	"cmp"
	"slices"
	"sync"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// tallyTenants is how many tenants of a destination and signal are counted by
// themselves; further ones are one.
const tallyTenants = 1000

// tally counts what became of the messages that one destination settled, by
// signal and tenant. The zero value is ready.
type tally struct {
	mu sync.Mutex
	of [otlp.NumSignals]map[string]*fleet.Tally // mu
}

// settled counts a message: what its turns made of its items, how many were
// dead-lettered, and how many the destination does not want.
func (t *tally) settled(s otlp.Signal, h *held, dead int) {
	tenant, p := h.tenant, &h.past
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.of[s][tenant]
	if c == nil {
		if t.of[s] == nil {
			t.of[s] = map[string]*fleet.Tally{}
		}
		if len(t.of[s]) >= tallyTenants {
			tenant = fleet.OtherTenants
		}
		if c = t.of[s][tenant]; c == nil {
			c = &fleet.Tally{Signal: s.String(), Tenant: tenant}
			t.of[s][tenant] = c
		}
	}
	c.Exported += uint64(p.delivered)
	c.Rejected += uint64(p.rejected)
	c.Dead += uint64(dead)
	c.Unwanted += uint64(h.unwanted)
	c.Unrouted += uint64(h.unrouted)
	c.PossibleDuplicates += uint64(p.possible)
	c.Messages++
}

// list is what was counted, by signal and tenant.
func (t *tally) list(destination string) (out []fleet.Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tenants := range t.of {
		from := len(out)
		for _, c := range tenants {
			c := *c
			c.Destination = destination
			out = append(out, c)
		}
		slices.SortFunc(out[from:], func(a, b fleet.Tally) int { return cmp.Compare(a.Tenant, b.Tenant) })
	}
	return out
}

// sums are the items by signal.
func (t *tally) sums() (exported, rejected, dead, unwanted map[string]uint64) {
	exported, rejected, dead, unwanted = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	for _, c := range t.list("") {
		exported[c.Signal] += c.Exported
		rejected[c.Signal] += c.Rejected
		dead[c.Signal] += c.Dead
		if c.Unwanted > 0 {
			unwanted[c.Signal] += c.Unwanted
		}
	}
	return exported, rejected, dead, unwanted
}
