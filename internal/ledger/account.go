package ledger

import (
	"github.com/penstock-otel/penstock/internal/fleet"
)

// account is what became of everything for one destination.
type account struct {
	Destination string `json:"destination"`
	// Readers are its durables, by stream.
	Readers map[string]*reader `json:"readers"`
	// Begins are durables whose beginning is not counted yet, by stream: they will
	// be answerable for what is after the sequence.
	Begins map[string]uint64 `json:"begins,omitempty"`
	// Carry is what was accepted for durables that are no more, by signal and
	// tenant: of streams that were made anew, and from before a drop.
	Carry map[string]byTenant `json:"carry,omitempty"`
	// Totals are tallies of processes that were forgotten.
	Totals map[cell]fleet.Tally `json:"totals"`
	// Folded are tallies in Totals whose process is not yet removed from the fleet.
	Folded map[string][]fleet.Tally `json:"folded,omitempty"`
	// Purged is what was given up, when a destination that was dropped came back.
	Purged map[cell]uint64 `json:"purged,omitempty"`
	// Dropped: an operator gave it up.
	Dropped bool `json:"dropped,omitempty"`
}

// reader is one durable of an account.
type reader struct {
	Signal string `json:"signal"`
	// Base is the sequence after which it is answerable for, and Before the total
	// up to there.
	Base   uint64   `json:"base_sequence"`
	Before byTenant `json:"before"`
	// Floor is the ack floor as last seen, and Settled the total up to there;
	// exact, or a little less.
	Floor   uint64 `json:"floor_sequence"`
	Settled Sum    `json:"settled"`
	Exact   bool   `json:"exact"`
	// Again are items that are settled twice: the durable was made anew and began
	// at the oldest message.
	Again   uint64 `json:"again_items,omitempty"`
	Missing bool   `json:"missing,omitempty"` // the durable is not there

	// pending is an estimate of what is not settled of what the book has.
	pending      Sum
	pendingExact bool
	// most is the most that can be settled: what was delivered above the floor
	// may be, but for its first message.
	most Sum
}

func newAccount(destination string) account {
	return account{Destination: destination, Readers: map[string]*reader{}, Carry: map[string]byTenant{},
		Totals: map[cell]fleet.Tally{}, Folded: map[string][]fleet.Tally{}, Purged: map[cell]uint64{}}
}

// accepted is what the destination has to get, by tenant.
func (a *account) accepted(signal string, books map[string]*kept[book]) byTenant {
	sum := byTenant{}
	for tenant, s := range a.Carry[signal] {
		sum.add(tenant, s)
	}
	for stream, r := range a.Readers {
		if r.Signal != signal || books[stream] == nil {
			continue
		}
		for tenant, s := range books[stream].v.Tenants {
			if s = s.minus(r.Before[tenant]); s != (Sum{}) {
				sum.add(tenant, s)
			}
		}
	}
	return sum
}

// settled is what the queue has settled at least: all up to the ack floors.
func (a *account) settled(signal string) (items uint64) {
	items = byTenant(a.Carry[signal]).total().Items
	for _, r := range a.Readers {
		if r.Signal == signal {
			items += r.Settled.minus(r.Before.total()).Items + r.Again
		}
	}
	return items
}

// settledMost is what the queue can have settled at most.
func (a *account) settledMost(signal string) (items uint64) {
	items = byTenant(a.Carry[signal]).total().Items
	for _, r := range a.Readers {
		if r.Signal == signal {
			items += max(r.most.Items, r.Settled.Items) - min(r.Before.total().Items, r.Settled.Items) + r.Again
		}
	}
	return items
}

// pending is what is not settled.
func (a *account) pending(signal string) (sum Sum, exact bool) {
	exact = true
	for _, r := range a.Readers {
		if r.Signal == signal {
			sum = sum.plus(r.pending)
			exact = exact && r.pendingExact
		}
	}
	return sum, exact
}

func (a *account) again(signal string) (items uint64) {
	for _, r := range a.Readers {
		if r.Signal == signal {
			items += r.Again
		}
	}
	return items
}

// signals that the account has anything of.
func (a *account) signals() map[string]bool {
	all := map[string]bool{}
	for _, r := range a.Readers {
		all[r.Signal] = true
	}
	for signal := range a.Carry {
		all[signal] = true
	}
	for c := range a.Totals {
		all[c.signal] = true
	}
	return all
}

// end takes the readers out: what they were answerable for is carried.
func (a *account) end(stream string, b *book) {
	delete(a.Begins, stream)
	r := a.Readers[stream]
	if r == nil {
		return
	}
	if a.Carry[r.Signal] == nil {
		a.Carry[r.Signal] = byTenant{}
	}
	if b != nil {
		for tenant, s := range b.Tenants {
			if s = s.minus(r.Before[tenant]); s != (Sum{}) {
				a.Carry[r.Signal].add(tenant, s)
			}
		}
	}
	if r.Again > 0 { // settled twice, once of which was never accepted
		a.Carry[r.Signal].add(fleet.OtherTenants, Sum{Items: r.Again})
	}
	delete(a.Readers, stream)
}

// base is the sequence after which the destination is answerable for a stream.
func (a *account) base(stream string) (seq uint64, known bool) {
	if r := a.Readers[stream]; r != nil {
		return r.Base, true
	}
	seq, known = a.Begins[stream]
	return seq, known
}

// lost carries what was accepted on a stream and is gone: unless the destination
// had it, it is missing.
func (a *account) lost(stream string, s Sum) {
	r := a.Readers[stream]
	if r == nil || s == (Sum{}) {
		return
	}
	if a.Carry[r.Signal] == nil {
		a.Carry[r.Signal] = byTenant{}
	}
	a.Carry[r.Signal].add(fleet.OtherTenants, s)
}

// tallies are everything told for the destination: what was forgotten, and what
// the living and the remembered tell.
func (a *account) tallies(processes []fleet.Sighting) map[cell]fleet.Tally {
	sum := make(map[cell]fleet.Tally, len(a.Totals))
	for c, t := range a.Totals {
		sum[c] = t
	}
	for _, p := range processes {
		folded := byCell(a.Folded[p.ID])
		for _, t := range p.Tallies {
			if t.Destination != a.Destination {
				continue
			}
			c := cellOf(t)
			sum[c] = sum[c].Plus(t.Without(folded[c]))
		}
	}
	return sum
}

// fold adds what a process told to the totals, once.
func (a *account) fold(p fleet.Sighting) {
	if _, done := a.Folded[p.ID]; done {
		return
	}
	var own []fleet.Tally
	for _, t := range p.Tallies {
		if t.Destination != a.Destination {
			continue
		}
		own = append(own, t)
		c := cellOf(t)
		if _, ok := a.Totals[c]; !ok && len(a.Totals) >= maxTenants*3 {
			c.tenant = fleet.OtherTenants
		}
		a.Totals[c] = a.Totals[c].Plus(t)
	}
	if own != nil {
		a.Folded[p.ID] = own
	}
}

// removed drops the notes of processes that are out of the fleet.
func (a *account) removed(there map[string]bool) {
	for id := range a.Folded {
		if !there[id] {
			delete(a.Folded, id)
		}
	}
}

func cellOf(t fleet.Tally) cell { return cell{row{t.Destination, t.Signal}, t.Tenant} }

func byCell(all []fleet.Tally) map[cell]fleet.Tally {
	m := make(map[cell]fleet.Tally, len(all))
	for _, t := range all {
		m[cellOf(t)] = m[cellOf(t)].Plus(t)
	}
	return m
}
