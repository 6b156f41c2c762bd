package deadletter

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// OtherTenants is the tenant under which those are counted that are too many to
// be counted one by one.
const OtherTenants = "(others)"

// maxGroups bounds a Summary.
const maxGroups = 10_000

// Group is what letters have in common, and how many there are.
type Group struct {
	Destination string `json:"destination"`
	Reason      string `json:"reason"`
	Signal      string `json:"signal"`
	Tenant      string `json:"tenant,omitempty"`
	Counts
}

// Counts add up letters.
type Counts struct {
	Letters uint64 `json:"letters"`
	Items   uint64 `json:"items"`
	Bytes   uint64 `json:"bytes"` // of payload, as stored
	// Oldest and Newest bound KeptAt, First and Last the sequences.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	First  uint64    `json:"first_sequence,omitempty"`
	Last   uint64    `json:"last_sequence,omitempty"`
}

func (c *Counts) add(o Counts) {
	if o.Letters == 0 {
		return
	}
	if c.Letters == 0 || o.Oldest.Before(c.Oldest) {
		c.Oldest = o.Oldest
	}
	if c.Letters == 0 || o.Newest.After(c.Newest) {
		c.Newest = o.Newest
	}
	if c.Letters == 0 || o.First < c.First {
		c.First = o.First
	}
	c.Last = max(c.Last, o.Last)
	c.Letters += o.Letters
	c.Bytes += o.Bytes
	if c.Items += o.Items; c.Items < o.Items { // headers of others claim what they like
		c.Items = 1<<64 - 1
	}
}

// Summary is how many letters there are, and of which kinds.
type Summary struct {
	Counts
	// Groups are all that occur, by destination, reason, signal and tenant.
	Groups []Group `json:"groups"`
}

// By adds up the groups that key makes equal: what it leaves empty is not told
// apart. It gives what has the most items first.
func (s Summary) By(key func(Group) Group) []Group {
	var t tally
	for _, g := range s.Groups {
		t.add(key(g), g.Counts)
	}
	out := t.sum().Groups
	slices.SortStableFunc(out, func(a, b Group) int { return cmp.Compare(b.Items, a.Items) })
	return out
}

// Keys for By.
func ByDestination(g Group) Group { return Group{Destination: g.Destination} }
func ByReason(g Group) Group      { return Group{Reason: g.Reason} }
func BySignal(g Group) Group      { return Group{Signal: g.Signal} }
func ByTenant(g Group) Group      { return Group{Tenant: g.Tenant} }

// Summarize counts the letters that a filter picks. It reads the headers of all
// of them.
func Summarize(ctx context.Context, q Reader, stream string, f Filter) (Summary, error) {
	var t tally
	for found, err := range Read(ctx, q, stream, f, ReadOptions{}) {
		if err != nil {
			return Summary{}, err
		}
		t.letter(found.Info)
	}
	return t.sum(), nil
}

// tally makes a Summary.
type tally struct {
	total  Counts
	groups map[Group]*Counts // keys have no counts
}

func (t *tally) letter(i Info) {
	t.add(Group{Destination: i.Destination, Reason: i.Reason, Signal: i.Signal, Tenant: i.Tenant},
		Counts{Letters: 1, Items: uint64(i.Items), Bytes: uint64(i.Size), Oldest: i.KeptAt, Newest: i.KeptAt, First: i.Sequence, Last: i.Sequence})
}

func (t *tally) add(key Group, c Counts) {
	key.Counts = Counts{}
	if t.groups == nil {
		t.groups = map[Group]*Counts{}
	}
	if t.groups[key] == nil {
		if len(t.groups) >= maxGroups {
			key.Tenant = OtherTenants
		}
		if t.groups[key] == nil {
			if len(t.groups) >= 2*maxGroups { // of a stream that somebody else filled
				key = Group{Destination: OtherTenants, Reason: OtherTenants, Signal: OtherTenants, Tenant: OtherTenants}
			}
			if t.groups[key] == nil {
				t.groups[key] = &Counts{}
			}
		}
	}
	t.groups[key].add(c)
	t.total.add(c)
}

func (t *tally) sum() Summary {
	s := Summary{Counts: t.total, Groups: make([]Group, 0, len(t.groups))}
	for g, c := range t.groups {
		g.Counts = *c
		s.Groups = append(s.Groups, g)
	}
	slices.SortFunc(s.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Reason, b.Reason),
			cmp.Compare(a.Signal, b.Signal), cmp.Compare(a.Tenant, b.Tenant))
	})
	return s
}
