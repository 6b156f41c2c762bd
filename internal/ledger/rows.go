package ledger

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// told is what was counted of a row.
type told struct{ exported, rejected, unwanted, duplicates uint64 }

func toldOf(tallies map[cell]fleet.Tally, r row) (t told) {
	for c, x := range tallies {
		if c.row == r {
			t.exported += x.Exported
			t.rejected += x.Rejected
			t.unwanted += x.Unwanted
			t.duplicates += x.PossibleDuplicates
		}
	}
	return t
}

// names of the accounts, sorted.
func (s *state) names() []string { return slices.Sorted(maps.Keys(s.accounts)) }

// judge makes the rows and finds what is missing.
func (s *state) judge(processes []fleet.Sighting) []Row {
	settled, most := map[row]uint64{}, map[row]uint64{}
	for name, a := range s.accounts {
		for signal := range a.v.signals() {
			settled[row{name, signal}] = a.v.settled(signal)
			most[row{name, signal}] = a.v.settledMost(signal)
		}
	}
	l := &s.looks.v
	l.begin(settled)
	old, known := l.at(l.listen(processes, most, s.lags))
	if !known {
		old.Settled = nil
	}
	rows := []Row{}
	for _, signal := range otlp.Signals {
		for _, name := range s.names() {
			a := &s.accounts[name].v
			if !a.signals()[signal.String()] {
				continue
			}
			r := row{name, signal.String()}
			rows = append(rows, s.row(a, r, old.Settled[r], settled[r], most[r], a.tallies(processes)))
		}
	}
	for r := range l.Rows {
		if s.accounts[r.destination] == nil {
			delete(l.Rows, r)
		}
	}
	for _, text := range l.Broken {
		s.alarm("%s", text)
	}
	return rows
}

func (s *state) row(a *account, r row, old, now, most uint64, tallies map[cell]fleet.Tally) Row {
	l, letters := &s.looks.v, &s.letters.v
	t := toldOf(tallies, r)
	accepted := a.accepted(r.signal, s.books).total().Items
	again := a.again(r.signal)
	pending, exact := a.pending(r.signal)
	given := uint64(0) // up for good
	for c, n := range a.Purged {
		if c.row == r {
			given += n
		}
	}
	died := letters.died(r)
	counted := t.exported + t.rejected + t.unwanted + died + given
	d := l.row(r)
	if a.Dropped && len(a.Readers) == 0 { // nobody will deliver the rest
		rest := less(accepted+again+d.Twice, counted+d.Missing+d.Forgiven)
		counted, given, old = counted+rest, given+rest, now
	}
	missing := l.judge(r, old, now, most, counted, !s.lags && now == accepted+again)
	purged := of(letters.Purged, r).Items
	redriven := of(letters.Redriven, r).Items
	v := Row{Signal: r.signal, Destination: r.destination, Accepted: accepted, Pending: pending.Items, PendingEstimated: !exact,
		Exported: t.exported, Rejected: t.rejected, DeadLettered: less(died, purged+redriven), Redriven: redriven, Unwanted: t.unwanted, Purged: purged + given + d.Forgiven,
		Missing: missing, DeliveredAgain: again, CountedTwice: d.Twice, PossibleDuplicates: t.duplicates, Explained: l.explained(r), Dropped: a.Dropped}
	have := int64(accepted + again + d.Twice)
	sum := int64(v.Pending + v.Exported + v.Rejected + v.DeadLettered + v.Redriven + v.Unwanted + v.Purged + v.Missing)
	v.Uncounted = uint64(max(0, have-sum))
	v.Balance = have - sum - int64(v.Uncounted)
	if missing > 0 {
		s.alarm("destination %s: %d items of %s are missing: they left the queue and nobody has delivered them", r.destination, missing, r.signal)
	}
	return v
}

// settleDropped keeps what a dropped destination was given up for, because it is
// back.
func (s *state) settleDropped(a *account) {
	a.Dropped = false
	for signal := range a.signals() {
		r := row{a.Destination, signal}
		v, ok := s.view.v.Row(signal, a.Destination)
		if !ok {
			continue
		}
		d := s.looks.v.row(r)
		rest := less(v.Purged, of(s.letters.v.Purged, r).Items+d.Forgiven)
		c := cell{r, fleet.OtherTenants}
		for old := range a.Purged {
			if old.row == r {
				rest = less(rest, a.Purged[old])
			}
		}
		a.Purged[c] += rest
	}
}

func (s *state) tellStreams() (all []Stream) {
	all = []Stream{}
	for _, name := range slices.Sorted(maps.Keys(s.books)) {
		b := &s.books[name].v
		all = append(all, Stream{Stream: name, Signal: b.Signal, Counted: b.Counted, Accepted: b.Total.plus(b.Lost), Uncounted: b.Gaps, Unreadable: b.Unreadable})
		if b.Gaps > 0 {
			s.note("%d messages of stream %s were purged before the ledger counted them: their items are in no sum", b.Gaps, name)
		}
	}
	return all
}

// unrouted is what no destination wants, by signal; none is left out.
func (s *state) unrouted(processes []fleet.Sighting) (all []Unrouted) {
	items := map[string]uint64{}
	for _, a := range s.accounts {
		for c, t := range a.v.tallies(processes) {
			items[c.signal] += t.Unrouted
		}
	}
	for signal, n := range s.gate.v.unrouted(processes) {
		items[signal] += n
	}
	for _, signal := range otlp.Signals {
		if n := items[signal.String()]; n > 0 {
			all = append(all, Unrouted{signal.String(), n})
		}
	}
	return all
}

// maxTenantRows of a Ledger.
const maxTenantRows = 500

// tenants are those with the most items accepted, and how many have no room.
func (s *state) tenants(processes []fleet.Sighting) ([]Tenant, int) {
	all := []Tenant{}
	for _, name := range s.names() {
		a := &s.accounts[name].v
		tallies := a.tallies(processes)
		for _, signal := range slices.Sorted(maps.Keys(a.signals())) {
			accepted := a.accepted(signal, s.books)
			rows := map[string]*Tenant{}
			of := func(tenant string) *Tenant {
				tenant = accepted.known(tenant)
				if rows[tenant] == nil {
					rows[tenant] = &Tenant{Tenant: tenant, Signal: signal, Destination: name}
				}
				return rows[tenant]
			}
			for tenant, sum := range accepted {
				t := of(tenant)
				t.Accepted += sum.Items
				t.AcceptedBytes += sum.Bytes
			}
			for c, x := range tallies {
				if c.signal == signal {
					t := of(c.tenant)
					t.Exported += x.Exported
					t.Rejected += x.Rejected
					t.Unwanted += x.Unwanted
					t.PossibleDuplicates += x.PossibleDuplicates
				}
			}
			l := &s.letters.v
			for c := range l.Written {
				if c.row == (row{name, signal}) {
					t := of(c.tenant)
					t.DeadLettered += l.dead(c)
					t.Redriven += l.Redriven[c].Items
					t.Purged += l.Purged[c].Items
				}
			}
			for _, tenant := range slices.Sorted(maps.Keys(rows)) {
				t := rows[tenant]
				t.Open = less(t.Accepted, t.Exported+t.Rejected+t.DeadLettered+t.Redriven+t.Unwanted+t.Purged)
				all = append(all, *t)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Tenant) int { return cmp.Compare(b.Accepted, a.Accepted) })
	left := max(0, len(all)-maxTenantRows)
	return all[:len(all)-left], left
}

// maxView is what a Ledger may take in the store.
const maxView = 128 << 10

// fitView leaves out tenants until it fits.
func fitView(l Ledger) Ledger {
	for len(l.Tenants) > 0 {
		data, err := json.Marshal(l)
		if err != nil || len(data) <= maxView {
			break
		}
		half := len(l.Tenants) / 2
		l.TenantsLeftOut += len(l.Tenants) - half
		l.Tenants = l.Tenants[:half]
	}
	return l
}
