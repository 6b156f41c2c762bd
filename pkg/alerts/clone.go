package alerts

import "slices"

// Labels are never changed once made, so that copies share them.

func (i Incident) clone() Incident {
	i.Firing, i.Resolved, i.Joined = slices.Clone(i.Firing), slices.Clone(i.Resolved), slices.Clone(i.Joined)
	i.Told = slices.Clone(i.Told)
	i.Policy = i.Policy.clone()
	return i
}

func (p Policy) clone() Policy {
	p.GroupBy, p.OnExhausted, p.LowUrgency = slices.Clone(p.GroupBy), slices.Clone(p.OnExhausted), slices.Clone(p.LowUrgency)
	p.Levels = slices.Clone(p.Levels)
	for n := range p.Levels {
		l := &p.Levels[n]
		l.Targets, l.Active = slices.Clone(l.Targets), slices.Clone(l.Active)
	}
	return p
}

func (w Silence) clone() Silence {
	w.Matchers = slices.Clone(w.Matchers)
	return w
}
