package janitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// TestHistories lets publishers, destinations, replays, operators and two janitors
// do what they want, from seeds, and checks at each purge that every destination
// has had what goes (I2) and that no replay still reads it, and at the end that nothing accepted was lost and nothing
// stays for ever. Steps of the others happen between any two calls of a janitor.
// PENSTOCK_SEED repeats one history, PENSTOCK_HISTORIES says how many.
func TestHistories(t *testing.T) {
	first, n := uint64(1), uint64(1000)
	number := func(name string, to *uint64) {
		if text := os.Getenv(name); text != "" {
			var err error
			if *to, err = strconv.ParseUint(text, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	number("PENSTOCK_HISTORIES", &n)
	if os.Getenv("PENSTOCK_SEED") != "" {
		number("PENSTOCK_SEED", &first)
		n = 1
	}
	var did sum
	var mu sync.Mutex // guards did
	t.Run("seeds", func(t *testing.T) {
		const groups = 4
		for g := range uint64(groups) {
			t.Run(fmt.Sprint("group ", g), func(t *testing.T) {
				t.Parallel()
				for seed := first + g; seed < first+n && !t.Failed(); seed += groups {
					synctest.Test(t, func(t *testing.T) {
						h := newHistory(t, seed)
						h.run()
						mu.Lock()
						defer mu.Unlock()
						did.add(h.did)
					})
				}
			})
		}
	})
	t.Logf("%d histories: %+v", n, did)
	if n > 100 && (did.Purged < 1000 || did.Full == 0 || did.Redelivered == 0 || did.Removed == 0 || did.Added == 0 || did.Interleaved == 0 || did.Replays == 0 || did.Held == 0 || did.Unknown == 0) {
		t.Errorf("the histories do not do what they are for: %+v", did)
	}
}

// sum is what all histories did.
type sum struct{ Published, Full, Acked, Redelivered, Purged, Rounds, Interleaved, Added, Removed, Replays, Held, Unknown int }

func (s *sum) add(o sum) {
	s.Published += o.Published
	s.Full += o.Full
	s.Acked += o.Acked
	s.Redelivered += o.Redelivered
	s.Purged += o.Purged
	s.Rounds += o.Rounds
	s.Interleaved += o.Interleaved
	s.Added += o.Added
	s.Removed += o.Removed
	s.Replays += o.Replays
	s.Held += o.Held
	s.Unknown += o.Unknown
}

// place is one durable.
type place struct{ stream, durable string }

// progress is what a durable, as it is now, has acknowledged.
type progress struct {
	acked map[uint64]bool
	made  int // step
	held  []queue.Delivery
}

// replay reads a stream from next up to and including to.
type replay struct {
	stream   string
	next, to uint64
	made     int // step
}

type history struct {
	*testing.T
	seed     uint64
	r        *rand.Rand
	q        *odd
	streams  []string
	janitors [2]*Janitor
	step     int
	began    int // step at which the round under way began
	active   *Janitor
	accepted map[string]map[uint64]bool
	exported map[place]map[uint64]bool // by any durable of that name
	now      map[place]*progress
	gone     map[place]int // step of its removal
	replays  []*replay
	promised map[string]uint64 // up to where a stream may go
	inside   bool
	did      sum
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{T: t, seed: seed, r: rand.New(rand.NewPCG(seed, 7)), q: newOdd(), accepted: map[string]map[uint64]bool{},
		exported: map[place]map[uint64]bool{}, now: map[place]*progress{}, gone: map[place]int{}, promised: map[string]uint64{}}
	plan := topology.Plan{Shards: 1, AckWait: 30 * time.Second, MaxAckPending: 1 + h.r.IntN(20),
		Destinations: []topology.Destination{{Name: "all"}, {Name: "logs", Signals: []otlp.Signal{otlp.Logs}}}}
	for _, name := range plan.AllStreams() {
		h.ok(h.q.EnsureStream(t.Context(), queue.StreamConfig{Name: name, MaxBytes: int64(5_000 + h.r.IntN(20_000))}))
		h.accepted[name] = map[uint64]bool{}
		if name != topology.DeadLetters {
			h.streams = append(h.streams, name)
		}
	}
	for _, s := range h.streams {
		h.make(place{s, "export-all"})
	}
	h.make(place{logs, "export-logs"})
	c := Config{Every: config.Duration(5 * time.Second)}
	c.ReplayWindow = config.Duration(time.Duration(h.r.IntN(3)) * 10 * time.Minute)
	c.ReplayBytes = config.ByteSize(h.r.IntN(2) * 3000)
	holders := [][2]string{{"a", "b"}, {"a", "a"}}[h.r.IntN(2)] // or both hold it at the same time
	for i := range h.janitors {
		p := plan
		if h.r.IntN(3) == 0 {
			p.Destinations = nil // a gateway that knows none
		}
		h.janitors[i] = New(Options{Config: c, Queue: h.q, Plan: p, Holder: holders[i], Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
			Holds: HeldBy("replay", h.needed), BeforePurge: h.told})
	}
	h.q.purge = h.check
	h.q.hook = h.interleave
	h.q.stale = h.r.IntN(2) == 0
	return h
}

func (h *history) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("seed %d, step %d: %v", h.seed, h.step, err)
	}
}

func (h *history) upTo(d time.Duration) time.Duration { return time.Duration(h.r.Int64N(int64(d))) }

// check is I2, before each purge.
func (h *history) check(stream string, upTo uint64) {
	if stream == topology.DeadLetters {
		h.Errorf("seed %d: the dead letters are purged", h.seed)
	}
	for _, d := range h.active.o.Plan.Destinations {
		at := place{stream, topology.Durable(d.Name)}
		if when, was := h.gone[at]; was && (d.Name == "all" || stream == logs) && when < h.began && h.now[at] == nil {
			h.Errorf("seed %d, step %d: %s is purged while %s is missing", h.seed, h.step, stream, at.durable)
		}
	}
	st, err := h.q.Queue.StreamState(h.Context(), stream)
	h.ok(err)
	for seq := st.FirstSeq; seq <= min(upTo, st.LastSeq); seq++ {
		known := 0
		for at, p := range h.now {
			switch {
			case at.stream != stream:
			case p.acked[seq]:
				known++
			case p.made < h.began: // one that was made during this round had nothing promised
				h.Errorf("seed %d, step %d: %s is purged up to %d, and %s has not had %d", h.seed, h.step, stream, upTo, at.durable, seq)
				return
			}
		}
		for at, when := range h.gone { // seen by this round, perhaps
			if at.stream == stream && when >= h.began && h.exported[at][seq] {
				known++
			}
		}
		if known == 0 {
			h.Errorf("seed %d, step %d: %s is purged up to %d, and nobody has had %d", h.seed, h.step, stream, upTo, seq)
			return
		}
	}
	if h.promised[stream] < upTo {
		h.Errorf("seed %d, step %d: %s is purged up to %d, and it was told of %d", h.seed, h.step, stream, upTo, h.promised[stream])
	}
	for _, p := range h.replays {
		switch {
		case p.stream != stream || p.next > upTo:
		case p.made < h.began:
			h.Errorf("seed %d, step %d: %s is purged up to %d, and a replay needs %d", h.seed, h.step, stream, upTo, p.next)
			return
		default: // it began after this round asked, and finds its beginning gone
			p.next = upTo + 1
		}
	}
	h.did.Purged += int(min(upTo, st.LastSeq) + 1 - min(st.FirstSeq, upTo+1))
}

// needed is what the janitors are told of replays.
func (h *history) needed(context.Context) (map[string]uint64, error) {
	if h.q.hook != nil {
		h.interleave()
	}
	if h.q.hook != nil && h.r.IntN(20) == 0 {
		h.did.Unknown++
		return nil, errLuck
	}
	needed := map[string]uint64{}
	for _, p := range h.replays {
		if was, ok := needed[p.stream]; !ok || p.next < was {
			needed[p.stream] = p.next
		}
	}
	return needed, nil
}

func (h *history) told(_ context.Context, stream string, upTo uint64) error {
	h.promised[stream] = max(h.promised[stream], upTo)
	return nil
}

// replay begins one, or goes on with one, which finds all that it still needs.
func (h *history) replay() {
	stream := h.streams[h.r.IntN(len(h.streams))]
	if h.r.IntN(4) == 0 || len(h.replays) == 0 {
		if st, err := h.q.Queue.StreamState(h.Context(), stream); err == nil && st.Messages > 0 {
			h.replays = append(h.replays, &replay{stream, st.FirstSeq, st.LastSeq, h.step})
			h.did.Replays++
		}
		return
	}
	i := h.r.IntN(len(h.replays))
	p := h.replays[i]
	if h.r.IntN(10) == 0 { // is cancelled
		p.next = p.to + 1
	}
	for n := h.r.IntN(20); n > 0 && p.next <= p.to; n-- {
		_, _, err := h.q.Queue.Get(h.Context(), p.stream, p.next)
		switch {
		case err == nil:
			h.did.Held++
		case p.made < h.began:
			h.Fatalf("seed %d, step %d: a replay of %s does not find %d: %v", h.seed, h.step, p.stream, p.next, err)
		}
		p.next++
	}
	if p.next > p.to {
		h.replays = slices.Delete(h.replays, i, i+1)
	}
}

// interleave lets the others do something between two calls of a janitor.
func (h *history) interleave() {
	if h.inside || h.r.IntN(6) > 0 {
		return
	}
	h.inside = true
	h.did.Interleaved++
	h.act()
	if h.r.IntN(4) == 0 { // the other janitor goes round at the same time
		h.goRound()
	}
	h.inside = false
}

func (h *history) round() {
	h.step++
	h.began = h.step
	h.did.Rounds++
	h.goRound()
}

func (h *history) goRound() {
	before := h.active
	h.active = h.janitors[h.r.IntN(2)]
	h.active.round(h.Context())
	h.active = before
}

func (h *history) run() {
	for range 30 + h.r.IntN(60) {
		if h.act(); h.r.IntN(4) == 0 {
			h.round()
		}
		if h.r.IntN(5) == 0 {
			time.Sleep(h.upTo(2 * time.Minute))
		}
	}
	h.finish()
}

// act is one step of anybody but a janitor.
func (h *history) act() {
	h.step++
	switch n := h.r.IntN(44); {
	case n >= 40:
		h.replay()
	case n < 16:
		h.publish()
	case n < 36:
		h.consume()
	case n < 38:
		h.make(place{h.streams[h.r.IntN(len(h.streams))], []string{"export-all", "export-logs", "export-later"}[h.r.IntN(3)]})
		h.did.Added++
	case n < 39:
		h.remove()
	default: // a destination dies: what it holds comes back after the ack wait
		for _, p := range h.now {
			p.held = nil
		}
	}
}

func (h *history) publish() {
	stream := h.streams[h.r.IntN(len(h.streams))]
	for range 1 + h.r.IntN(5) {
		h.did.Published++
		r, err := h.q.Publish(h.Context(), stream, &queue.Message{ID: fmt.Sprint(h.did.Published), Body: make([]byte, h.r.IntN(1500))})
		if errors.Is(err, queue.ErrFull) {
			h.did.Full++
			return
		}
		h.ok(err)
		h.accepted[stream][r.Sequence] = true
	}
}

// some is a durable that exists, the same for a seed.
func (h *history) some() (place, *progress) {
	var all []place
	for at := range h.now {
		all = append(all, at)
	}
	if len(all) == 0 {
		return place{}, nil
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.durable, b.durable))
	})
	at := all[h.r.IntN(len(all))]
	return at, h.now[at]
}

// consume takes some messages and settles some, in any order.
func (h *history) consume() {
	at, p := h.some()
	if p == nil {
		return
	}
	h.deliver(at, p, 1+h.r.IntN(8))
	for len(p.held) > 0 && h.r.IntN(5) > 0 {
		i := h.r.IntN(len(p.held))
		d := p.held[i]
		p.held = slices.Delete(p.held, i, i+1)
		if h.r.IntN(5) == 0 {
			_ = d.Retry(h.upTo(time.Minute)) // an error is that it was settled by an earlier delivery
			continue
		}
		h.ack(at, p, d)
	}
}

func (h *history) ack(at place, p *progress, d queue.Delivery) {
	h.ok(d.Ack())
	p.acked[d.Sequence()], h.exported[at][d.Sequence()] = true, true
	h.did.Acked++
}

func (h *history) deliver(at place, p *progress, n int) {
	c, err := h.q.Consume(h.Context(), at.stream, at.durable, queue.ConsumeOptions{})
	h.ok(err)
	for range n {
		st, err := h.q.Queue.ConsumerState(h.Context(), at.stream, at.durable)
		h.ok(err)
		if st.Pending == 0 && st.AckPending == len(p.held) {
			break // nothing would come soon
		}
		if d := next(h, c); d != nil {
			p.held = append(p.held, d)
			if d.Attempt() > 1 {
				h.did.Redelivered++
			}
		}
	}
	h.ok(c.Close())
}

// make makes a durable; if it exists nothing changes.
func (h *history) make(at place) {
	h.ok(h.q.EnsureConsumer(h.Context(), at.stream, queue.ConsumerConfig{Name: at.durable, AckWait: 30 * time.Second, MaxAckPending: 1 + h.r.IntN(30)}))
	if h.now[at] == nil {
		h.now[at] = &progress{acked: map[uint64]bool{}, made: h.step}
	}
	if h.exported[at] == nil {
		h.exported[at] = map[uint64]bool{}
	}
}

func (h *history) remove() {
	at, p := h.some()
	if p == nil {
		return
	}
	h.ok(h.q.RemoveConsumer(h.Context(), at.stream, at.durable))
	delete(h.now, at)
	h.gone[at] = h.step
	h.did.Removed++
}

// finish drains all, and wants nothing lost and nothing left.
func (h *history) finish() {
	h.q.hook = nil
	for _, s := range h.streams {
		h.make(place{s, "export-all"})
	}
	h.make(place{logs, "export-logs"})
	time.Sleep(2 * time.Minute) // what is held comes back
	for at, p := range h.now {
		p.held = nil
		for st := (queue.ConsumerState{Pending: 1}); st.Pending > 0 || st.AckPending > 0; {
			h.deliver(at, p, 10)
			for _, d := range p.held {
				h.ack(at, p, d)
			}
			p.held = nil
			var err error
			st, err = h.q.Queue.ConsumerState(h.Context(), at.stream, at.durable)
			h.ok(err)
		}
	}
	for _, s := range h.streams {
		for seq := range h.accepted[s] {
			had := false
			for at, by := range h.exported {
				had = had || at.stream == s && by[seq]
			}
			if !had {
				h.Errorf("seed %d: %s, sequence %d was accepted and exported to nobody", h.seed, s, seq)
			}
		}
	}
	h.replays = nil
	h.began, h.active = h.step+1, h.janitors[0]
	h.active.round(h.Context())
	time.Sleep(time.Hour)
	h.active.round(h.Context())
	for _, s := range h.streams {
		st, err := h.q.Queue.StreamState(h.Context(), s)
		h.ok(err)
		if st.Messages > 0 {
			h.Errorf("seed %d: %s still holds %d to %d, which everybody has", h.seed, s, st.FirstSeq, st.LastSeq)
		}
	}
}

// next is the next delivery, nil when there is none for a while.
func next(h *history, c queue.Consumer) queue.Delivery {
	ctx, cancel := context.WithTimeout(h.Context(), time.Millisecond)
	defer cancel()
	d, err := c.Next(ctx)
	if err != nil {
		return nil
	}
	return d
}
