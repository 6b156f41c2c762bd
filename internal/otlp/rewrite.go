package otlp

// selection writes those parts of a request that were chosen. What is kept whole
// keeps its bytes; what loses a part is written anew with its length, its other
// fields as they were and in their order.
//
// A resource, scope or metric that loses all its items is left out. One that has
// none from the start stays where nothing around it is lost; chosen by position
// it goes with the item before it.
type selection struct {
	sig Signal
	// By content: filter is nil when all content is wanted.
	filter *Filter
	// By position: of the items from lo to before hi, next being the one that
	// comes next. hi 0 wants all positions.
	lo, hi, next int
	// first tells whether unknown fields of the request are kept.
	first bool
}

// item decides about one item and counts it.
func (s *selection) item(b []byte) bool {
	at := s.next
	s.next++
	if s.hi != 0 && (at < s.lo || at >= s.hi) {
		return false
	}
	return s.filter == nil || s.filter.inWindow(itemTime(s.sig, b))
}

// hollow decides about a resource, scope or metric without items.
func (s *selection) hollow() (kept, left int) {
	if s.hi == 0 {
		return 0, 0
	}
	if at := max(s.next-1, 0); at >= s.lo && at < s.hi {
		return 1, 0
	}
	return 0, 1
}

// write appends what is chosen of body, a message of the level, and tells how
// many of its items were kept and how many parts were left out. With kept 0 what
// it appended is of no use.
func (s *selection) write(dst []byte, level int, body []byte) (out []byte, kept, left int) {
	children := cuts[s.sig][level]
	isData := s.sig == Metrics && level == dataLevel
	dead := 0
	if isData {
		dead = deadData(body)
	}
	begin, parts := s.next, 0
	for f := range fields(body) {
		if !f.in(children) {
			if level > 0 || s.first {
				dst = append(dst, f.raw...)
			}
			continue
		}
		if dead > 0 {
			dead--
			continue
		}
		parts++
		if level == 0 && s.filter != nil {
			if !s.filter.wantsResource(f.value) {
				left++
				continue
			}
			if !s.filter.hasWindow() {
				dst = append(dst, f.raw...)
				kept++
				continue
			}
		}
		if level == len(cuts[s.sig])-1 {
			if s.item(f.value) {
				dst = append(dst, f.raw...)
				kept++
			} else {
				left++
			}
			continue
		}
		var k, l int
		mark := len(dst)
		dst, k, l = s.child(dst, level+1, f, isData)
		if l == 0 {
			dst = append(dst[:mark], f.raw...)
		}
		kept += k
		left += l
	}
	if isData && s.next == begin || !isData && parts == 0 && level > 0 && level <= dataLevel {
		kept, left = s.hollow()
	}
	return dst, kept, left
}

// child appends what is chosen of f, a message of the level, with its tag and
// length, or nothing when there is nothing. always keeps it as an envelope.
func (s *selection) child(dst []byte, level int, f rawField, always bool) (out []byte, kept, left int) {
	mark := len(dst)
	dst = appendVarint(dst, f.tag)
	at := len(dst)
	room := sizeVarint(uint64(len(f.value))) // it only becomes shorter
	dst = append(dst, make([]byte, room)...)
	dst, kept, left = s.write(dst, level, f.value)
	if kept == 0 && left > 0 && !always {
		return dst[:mark], 0, left
	}
	return closeLength(dst, at, room), kept, left
}

// closeLength writes the length of what follows dst[at:at+room] into it, and
// moves that down when the length takes less room. It never takes more.
func closeLength(dst []byte, at, room int) []byte {
	n := len(dst) - at - room
	need := sizeVarint(uint64(n))
	if need < room {
		copy(dst[at+need:], dst[at+room:])
		dst = dst[:len(dst)-(room-need)]
	}
	appendVarint(dst[:at], uint64(n))
	return dst
}

// deadData is the number of the metric's data fields that decoders forget: a
// member of a oneof replaces another, and only the same one again is merged.
func deadData(metric []byte) (dead int) {
	var member uint64
	n := 0
	for f := range fields(metric) {
		if !f.in(cuts[Metrics][dataLevel]) {
			continue
		}
		if f.tag>>3 != member {
			member, dead = f.tag>>3, n
		}
		n++
	}
	return dead
}
