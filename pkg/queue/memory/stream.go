package memory

import (
	"maps"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// stream is the log. Queue.mu guards it.
type stream struct {
	cfg       queue.StreamConfig
	log       []entry // log[i] has sequence first+i; log[0] is not removed
	holes     int     // entries that are removed
	first     uint64
	bytes     int64
	lastTime  time.Time
	ids       map[string]uint64 // IDs within the dedup window
	idOrder   []seenID          // the same, oldest first
	consumers map[string]*consumer
}

type entry struct {
	msg *queue.Message // nil when removed
	at  time.Time
}

type seenID struct {
	id string
	at time.Time
}

func size(m *queue.Message) int {
	n := len(m.ID) + len(m.Body)
	for k, v := range m.Header {
		n += len(k) + len(v)
	}
	return n
}

func (s *stream) last() uint64 { return s.first + uint64(len(s.log)) - 1 }

// seen forgets what is older than the window first.
func (s *stream) seen(id string, now time.Time) (uint64, bool) {
	n := 0
	for n < len(s.idOrder) && now.Sub(s.idOrder[n].at) >= s.cfg.DedupWindow {
		delete(s.ids, s.idOrder[n].id)
		n++
	}
	s.idOrder = slices.Delete(s.idOrder, 0, n)
	seq, ok := s.ids[id]
	return seq, ok
}

func (s *stream) append(m *queue.Message, now time.Time) uint64 {
	s.log = append(s.log, entry{&queue.Message{ID: m.ID, Header: maps.Clone(m.Header), Body: slices.Clone(m.Body)}, now})
	seq := s.last()
	s.bytes += int64(size(m))
	s.lastTime = now
	s.ids[m.ID] = seq
	s.idOrder = append(s.idOrder, seenID{m.ID, now})
	return seq
}

func (s *stream) entry(seq uint64) *entry {
	if seq < s.first || seq > s.last() || s.log[seq-s.first].msg == nil {
		return nil
	}
	return &s.log[seq-s.first]
}

// live counts the messages from a sequence on.
func (s *stream) live(from uint64) (n uint64) {
	n = s.last() + 1 - max(from, s.first)
	if s.holes > 0 {
		for _, e := range s.log[max(from, s.first)-s.first:] {
			if e.msg == nil {
				n--
			}
		}
	}
	return n
}

// from is the first message at or after a sequence; nil when there is none.
func (s *stream) from(seq uint64) (*entry, uint64) {
	for seq = max(seq, s.first); seq <= s.last(); seq++ {
		if e := s.entry(seq); e != nil {
			return e, seq
		}
	}
	return nil, 0
}

// remove makes a hole, which every consumer has settled.
func (s *stream) remove(seq uint64) {
	e := s.entry(seq)
	s.bytes -= int64(size(e.msg))
	e.msg = nil
	s.holes++
	for _, c := range s.consumers {
		c.settle(seq)
	}
	s.trim()
}

// trim cuts off the holes that the log begins with.
func (s *stream) trim() {
	n := 0
	for n < len(s.log) && s.log[n].msg == nil {
		n++
	}
	s.log = slices.Delete(s.log, 0, n)
	s.first += uint64(n)
	s.holes -= n
}

func (s *stream) purge(seq uint64) {
	seq = min(seq, s.last())
	if seq < s.first {
		return
	}
	n := int(seq - s.first + 1)
	for _, e := range s.log[:n] {
		if e.msg == nil {
			s.holes--
			continue
		}
		s.bytes -= int64(size(e.msg))
	}
	s.log = slices.Delete(s.log, 0, n)
	s.first = seq + 1
	s.trim()
	for _, c := range s.consumers {
		c.purged(seq)
	}
}
