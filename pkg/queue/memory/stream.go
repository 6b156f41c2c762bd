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
	log       []entry // log[i] has sequence first+i
	first     uint64
	bytes     int64
	lastTime  time.Time
	ids       map[string]uint64 // IDs within the dedup window
	idOrder   []seenID          // the same, oldest first
	consumers map[string]*consumer
}

type entry struct {
	msg *queue.Message
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
	if seq < s.first || seq > s.last() {
		return nil
	}
	return &s.log[seq-s.first]
}

func (s *stream) purge(seq uint64) {
	seq = min(seq, s.last())
	if seq < s.first {
		return
	}
	n := int(seq - s.first + 1)
	for _, e := range s.log[:n] {
		s.bytes -= int64(size(e.msg))
	}
	s.log = slices.Delete(s.log, 0, n)
	s.first = seq + 1
	for _, c := range s.consumers {
		c.purged(seq)
	}
}
