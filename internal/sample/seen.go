package sample

// pageBits is the log of the identities that one page of Seen remembers.
const pageBits = 12

type page [1 << pageBits / 64]uint64

// Seen remembers which identities arrived and how often one came again: one bit
// an item where sequences are dense. Not safe for concurrent use.
type Seen struct {
	pages      map[uint64]*page
	at         uint64 // the page used last, for runs of sequences
	last       *page
	distinct   uint64
	duplicates uint64
}

// Add notes an arrival and says whether it was the first.
func (s *Seen) Add(id uint64) bool {
	p := s.page(id)
	word, bit := id>>6%uint64(len(p)), uint64(1)<<(id&63)
	if p[word]&bit != 0 {
		s.duplicates++
		return false
	}
	p[word] |= bit
	s.distinct++
	return true
}

// Has says whether the identity arrived.
func (s *Seen) Has(id uint64) bool {
	p := s.pages[id>>pageBits]
	return p != nil && p[id>>6%uint64(len(p))]&(1<<(id&63)) != 0
}

// Distinct is the number of identities that arrived.
func (s *Seen) Distinct() uint64 { return s.distinct }

// Duplicates is the number of arrivals beyond the first of each.
func (s *Seen) Duplicates() uint64 { return s.duplicates }

func (s *Seen) page(id uint64) *page {
	n := id >> pageBits
	if s.last != nil && s.at == n {
		return s.last
	}
	if s.pages == nil {
		s.pages = map[uint64]*page{}
	}
	p := s.pages[n]
	if p == nil {
		p = new(page)
		s.pages[n] = p
	}
	s.at, s.last = n, p
	return p
}
