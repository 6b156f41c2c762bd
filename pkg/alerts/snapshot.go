package alerts

import (
	"cmp"
	"slices"
)

// Snapshot is all that holds now, sorted.
func (s *State) Snapshot() Snapshot {
	snap, _ := s.SnapshotAt()
	return snap
}

// SnapshotAt is Snapshot with the position that it is of.
func (s *State) SnapshotAt() (Snapshot, uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var snap Snapshot
	for _, a := range s.alerts {
		snap.Alerts = append(snap.Alerts, *a)
	}
	for _, i := range s.incidents {
		snap.Incidents = append(snap.Incidents, i.clone())
	}
	for _, w := range s.silences {
		snap.Silences = append(snap.Silences, w.clone())
	}
	for k, v := range s.sent {
		snap.Sent = append(snap.Sent, SentTo{k, v.Clone()})
	}
	slices.SortFunc(snap.Alerts, func(a, b Alert) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(snap.Incidents, func(a, b Incident) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(snap.Silences, func(a, b Silence) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(snap.Sent, func(a, b SentTo) int { return a.Key.compare(b.Key) })
	return snap, s.at
}

// load takes in a snapshot. What is there twice or has no name is passed over. mu is
// held.
func (s *State) load(snap Snapshot) {
	for _, a := range snap.Alerts {
		if a.Key != "" && s.alerts[a.Key] == nil {
			s.remember(a)
		}
	}
	for _, i := range snap.Incidents {
		if i.ID != "" && s.incidents[i.ID] == nil {
			s.hold(i.clone())
		}
	}
	for _, w := range snap.Silences {
		if w.ID != "" {
			s.putSilence(w)
		}
	}
	for _, v := range snap.Sent {
		s.putSent(v.Key, Sent{Firing: sorted(v.Sent.Firing), Resolved: sorted(v.Sent.Resolved), At: v.Sent.At, Token: v.Sent.Token, Data: slices.Clone(v.Sent.Data)})
	}
}

// Silences are all that are known, also those that have ended a while ago, by ID.
func (s *State) Silences() []Silence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]Silence, 0, len(s.silences))
	for _, w := range s.silences {
		list = append(list, w.clone())
	}
	slices.SortFunc(list, func(a, b Silence) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Owed are those who were told that something fires which does not any more, and not
// that it has ended, sorted.
func (s *State) Owed() []ClaimKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []ClaimKey
	for k, v := range s.sent {
		if slices.ContainsFunc(v.Firing, func(key Key) bool {
			a := s.alerts[key]
			return a == nil && !key.isTelling() || a != nil && !a.ResolvedAt.IsZero()
		}) {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, ClaimKey.compare)
	return list
}
