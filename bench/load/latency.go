package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds to three digits, from one microsecond to
// ten minutes; what is longer counts as ten minutes.
const (
	longest = int64(10 * time.Minute / time.Microsecond)
	digits  = 3
)

// Latency is the distribution of the times of requests.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p99_9_ms"`
	Max  float64 `json:"max_ms"`
	// Distribution goes up to the highest, in steps that halve what is left above.
	Distribution []Bracket `json:"distribution,omitempty"`
}

// Bracket says that the share Quantile of all requests took Millis at most; Count
// is how many those are.
type Bracket struct {
	Quantile float64 `json:"quantile"`
	Millis   float64 `json:"ms"`
	Count    int64   `json:"count"`
}

// recorder takes times from many clients at a time. A histogram for each client
// would be 100 kB for each of thousands, one for all a lock that all want.
type recorder struct{ shards []*shard }

type shard struct {
	mu sync.Mutex // guards h
	h  *hdrhistogram.Histogram
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, digits) }

func newRecorder(clients int) *recorder {
	r := &recorder{}
	for range max(1, min(clients, 8)) {
		r.shards = append(r.shards, &shard{h: newHistogram()})
	}
	return r
}

func (r *recorder) record(client int, took time.Duration) {
	s := r.shards[client%len(r.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	record(s.h, took)
}

func record(h *hdrhistogram.Histogram, took time.Duration) {
	if err := h.RecordValue(min(max(1, took.Microseconds()), longest)); err != nil {
		panic("BUG: " + err.Error()) // the value is within the bounds
	}
}

// latency merges what was recorded.
func (r *recorder) latency() Latency {
	h := newHistogram()
	for _, s := range r.shards {
		s.mu.Lock()
		h.Merge(s.h) // of the same bounds: drops nothing
		s.mu.Unlock()
	}
	return latencyOf(h)
}

func latencyOf(h *hdrhistogram.Histogram) (l Latency) {
	if h.TotalCount() == 0 {
		return l
	}
	ms := func(us int64) float64 { return float64(us) / 1000 }
	l.P50, l.P90, l.P99, l.P999 = ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(90)), ms(h.ValueAtQuantile(99)), ms(h.ValueAtQuantile(99.9))
	l.Max = ms(h.Max())
	for _, b := range h.CumulativeDistributionWithTicks(2) {
		l.Distribution = append(l.Distribution, Bracket{Quantile: b.Quantile / 100, Millis: ms(b.ValueAt), Count: b.Count})
	}
	return l
}

// LatencyOf is the distribution of given times.
func LatencyOf(took []time.Duration) Latency {
	h := newHistogram()
	for _, t := range took {
		record(h, t)
	}
	return latencyOf(h)
}
