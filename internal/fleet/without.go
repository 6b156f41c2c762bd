package fleet

// without is p less what base counted, for what is told under another id than
// base was. Neither is changed.
func without(p, base Process) Process {
	if base.ID == "" {
		return p
	}
	type key struct{ destination, signal, tenant string }
	was := map[key]Tally{}
	for _, t := range base.Tallies {
		was[key{t.Destination, t.Signal, t.Tenant}] = t
	}
	tallies := make([]Tally, len(p.Tallies))
	for i, t := range p.Tallies {
		tallies[i] = t.Without(was[key{t.Destination, t.Signal, t.Tenant}])
	}
	p.Tallies = tallies
	if p.Gateway != nil && base.Gateway != nil {
		g := *p.Gateway
		g.Accepted = lessMap(g.Accepted, base.Gateway.Accepted)
		g.Duplicates = lessMap(g.Duplicates, base.Gateway.Duplicates)
		g.Unrouted = lessMap(g.Unrouted, base.Gateway.Unrouted)
		refused := make(map[string]map[string]uint64, len(g.Refused))
		for signal, by := range g.Refused {
			refused[signal] = lessMap(by, base.Gateway.Refused[signal])
		}
		g.Refused = refused
		p.Gateway = &g
	}
	return p
}

// Without is t less what was counted before; never below 0.
func (t Tally) Without(was Tally) Tally {
	t.Exported = less(t.Exported, was.Exported)
	t.Rejected = less(t.Rejected, was.Rejected)
	t.Dead = less(t.Dead, was.Dead)
	t.Unwanted = less(t.Unwanted, was.Unwanted)
	t.Unrouted = less(t.Unrouted, was.Unrouted)
	t.PossibleDuplicates = less(t.PossibleDuplicates, was.PossibleDuplicates)
	t.Messages = less(t.Messages, was.Messages)
	return t
}

// Plus is the sum of the counts; the names are t's.
func (t Tally) Plus(o Tally) Tally {
	t.Exported += o.Exported
	t.Rejected += o.Rejected
	t.Dead += o.Dead
	t.Unwanted += o.Unwanted
	t.Unrouted += o.Unrouted
	t.PossibleDuplicates += o.PossibleDuplicates
	t.Messages += o.Messages
	return t
}

func less(a, b uint64) uint64 { return a - min(a, b) }

func lessMap(a, b map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(a))
	for k, v := range a {
		out[k] = less(v, b[k])
	}
	return out
}
