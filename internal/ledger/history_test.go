package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// TestHistories lets gateways, workers, operators, two keepers and a janitor do
// what they want, from seeds: deliver whole, in part and not at all, die with and
// without a word, redrive and purge letters, lose answers of the store in any
// place. At the end, when all is quiet, every item is in one place:
//
//   - clean: nobody was killed, and the sums are exact;
//   - rough: workers and keepers were killed, and the sums hold with what these can
//     explain;
//   - robbed: somebody took messages out of a stream, and exactly these are
//     missing, or as many as the killed do not explain; the ledger is not OK.
//
// PENSTOCK_SEED repeats one history, PENSTOCK_HISTORIES says how many.
func TestHistories(t *testing.T) {
	first, n := uint64(1), uint64(histories)
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
	var did did
	var mu sync.Mutex // guards did
	t.Run("seeds", func(t *testing.T) {
		const groups = 2
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
	if n >= 100 && (did.Published < 1000 || did.Killed == 0 || did.Stopped == 0 || did.Purged == 0 || did.Redriven == 0 || did.Letters == 0 ||
		did.Robbed == 0 || did.Lost == 0 || did.Keepers == 0 || did.Failures == 0 || did.Twice == 0 || did.Unwanted == 0) {
		t.Errorf("the histories do not do what they are for: %+v", did)
	}
}

// did is what histories did.
type did struct {
	Published, Killed, Stopped, Purged, Redriven, Letters, Robbed, Lost, Keepers, Failures, Twice, Unwanted int
}

func (d *did) add(o did) {
	d.Published += o.Published
	d.Killed += o.Killed
	d.Stopped += o.Stopped
	d.Purged += o.Purged
	d.Redriven += o.Redriven
	d.Letters += o.Letters
	d.Robbed += o.Robbed
	d.Lost += o.Lost
	d.Keepers += o.Keepers
	d.Failures += o.Failures
	d.Twice += o.Twice
	d.Unwanted += o.Unwanted
}

type history struct {
	*world
	seed   uint64
	r      *rand.Rand
	rough  bool // workers and keepers are killed
	robbed bool // somebody takes messages out
	looked time.Time
	robs   map[row]bool
	did    did
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{world: newWorld(t, 2), seed: seed, r: rand.New(rand.NewPCG(seed, 11)), rough: seed%3 == 1, robbed: seed%3 == 2, robs: map[row]bool{}}
	if h.robbed && seed%2 == 0 {
		h.rough = true
	}
	h.round() // the ledger is there before the first message
	h.q.save = func(key string) (before, after error) {
		if !strings.HasPrefix(key, "ledger/") || h.r.IntN(60) > 0 {
			return nil, nil
		}
		h.did.Failures++
		err := fmt.Errorf("%w: no luck with %s", queue.ErrUnavailable, key)
		if h.r.IntN(2) == 0 {
			return err, nil
		}
		return nil, err
	}
	return h
}

func (h *history) fatal(format string, args ...any) {
	h.Helper()
	h.Fatalf("seed %d: %s\n%s", h.seed, fmt.Sprintf(format, args...), h.log)
}

// again does what may fail until it does not.
func (h *history) again(f func() error) {
	for {
		err := f()
		if err == nil {
			return
		}
		if !errors.Is(err, queue.ErrUnavailable) {
			h.fatal("%v", err)
		}
	}
}

func (h *history) round() {
	i := h.r.IntN(len(h.keepers))
	h.keepers[i].round(h.Context())
	if h.r.IntN(4) == 0 {
		h.keepers[1-i].round(h.Context())
	}
	h.looked = time.Now()
}

func (h *history) run() {
	h.world.worker("all")
	h.world.worker("logs")
	for range 40 + h.r.IntN(40) {
		h.act()
		time.Sleep(time.Duration(h.r.IntN(4000)) * time.Millisecond)
		for _, x := range h.workers {
			if time.Since(x.told) >= Every {
				x.tell(false)
			}
		}
		if time.Since(h.looked) >= Every {
			h.round()
		}
	}
	h.finish()
}

func (h *history) act() {
	switch n := h.r.IntN(40); {
	case n < 12:
		for range 1 + h.r.IntN(4) {
			h.publish(otlp.Signals[h.r.IntN(3)], []string{"", "red", "blue"}[h.r.IntN(3)], h.r.IntN(50))
			h.did.Published++
		}
	case n < 30:
		h.work(h.some())
	case n < 32:
		h.purge()
	case n < 34:
		h.redrive()
	case n < 35:
		h.purgeLetters()
	case n < 36: // a janitor asks for what it may purge
		h.keepers[h.r.IntN(len(h.keepers))].count(h.Context())
	case n < 37:
		h.leave(h.some())
	case n < 38:
		h.world.worker([]string{"all", "logs"}[h.r.IntN(2)])
	case n < 39 && h.rough: // a keeper dies, and another begins
		i := h.r.IntN(len(h.keepers))
		h.keepers[i].drop()
		h.did.Keepers++
		h.keepers[i] = h.keeper(fmt.Sprintf("keeper%d-%d", i, h.did.Keepers))
	case n == 39 && h.robbed:
		h.rob()
	}
}

func (h *history) some() *worker {
	if len(h.workers) == 0 {
		h.world.worker([]string{"all", "logs"}[h.r.IntN(2)])
	}
	return h.workers[h.r.IntN(len(h.workers))]
}

// work takes some messages and does something with each.
func (h *history) work(x *worker) {
	stream := topology.Stream(otlp.Signals[h.r.IntN(3)], 0)
	if x.to == "logs" {
		stream = logs
	}
	for _, d := range x.take(stream, 1+h.r.IntN(10)) {
		items, err := strconv.Atoi(d.Message().Header["Penstock-Items"])
		h.ok(err)
		var f fate
		switch h.r.IntN(10) {
		case 0:
			h.ok(d.Retry(time.Duration(h.r.IntN(20)) * time.Second))
			continue
		case 1:
			f.rejected = h.r.IntN(items + 1)
		case 2:
			f.dead = items
		case 3:
			f.dead = h.r.IntN(items + 1)
			f.rejected = h.r.IntN(items - f.dead + 1)
			f.unwanted = h.r.IntN(items - f.dead - f.rejected + 1)
		case 4:
			f.unwanted = items
		case 5:
			f.unwanted = h.r.IntN(items + 1)
		}
		if f.dead > 0 {
			h.did.Letters++
		}
		h.did.Unwanted += f.unwanted
		h.settle(x, d, f)
	}
}

// settle lets a worker die in the middle of it, now and then; not with a letter
// that was written, for the next one might decide otherwise, and what is dead and
// exported too is nothing to compare with.
func (h *history) settle(x *worker, d queue.Delivery, f fate) {
	dies := h.rough && f.dead == 0 && h.r.IntN(25) == 0
	x.settle(d, f, dies)
	if dies {
		x.gone(false)
		h.did.Killed++
	}
}

// leave stops a worker, or kills it.
func (h *history) leave(x *worker) {
	if h.rough && h.r.IntN(2) == 0 {
		x.gone(false)
		h.did.Killed++
		return
	}
	x.gone(true)
	h.did.Stopped++
}

// purge is a janitor: what every destination has and nobody holds.
func (h *history) purge() {
	for _, s := range otlp.Signals {
		stream := topology.Stream(s, 0)
		st, err := h.q.StreamState(h.Context(), stream)
		h.ok(err)
		floor := st.LastSeq
		for _, c := range st.Consumers {
			cs, err := h.q.ConsumerState(h.Context(), stream, c)
			h.ok(err)
			floor = min(floor, cs.AckFloor)
		}
		needed, err := h.holds.Needed(h.Context())
		h.ok(err)
		if from, held := needed[stream]; held {
			floor = min(floor, less(from, 1))
		}
		if floor < st.FirstSeq {
			continue
		}
		if err := h.rec.Purging(h.Context(), stream, floor); err != nil {
			continue // as the janitor does
		}
		h.ok(h.q.Purge(h.Context(), stream, floor))
		h.did.Purged++
	}
}

// redrive delivers a letter, or a part of it.
func (h *history) redrive() {
	infos, _, err := deadletter.List(h.Context(), h.q, topology.DeadLetters, deadletter.Filter{}, 5, 0)
	h.ok(err)
	for _, i := range infos {
		left := h.r.IntN(i.Items+1) * h.r.IntN(2)
		if left > 0 {
			m, _, err := h.q.Get(h.Context(), topology.DeadLetters, i.Sequence)
			h.ok(err)
			r := recordOf(h.T, m)
			r.Items = left
			h.ok(deadletter.Renew(h.Context(), h.q, topology.DeadLetters, i, r, deadletter.Part(i.Part, 0, left), 1, deadletter.Letter{Reason: deadletter.ReasonRejected}))
		}
		h.again(func() error { return h.rec.Redriven(h.Context(), []Redriven{{i, uint64(i.Items - left)}}) })
		if h.r.IntN(4) == 0 {
			h.round()
		}
		h.again(func() error { return h.rec.Redriven(h.Context(), []Redriven{{i, uint64(i.Items - left)}}) })
		h.ok(h.q.RemoveMessage(h.Context(), topology.DeadLetters, i.Sequence))
		h.done[row{i.Destination, i.Signal}].redriven += uint64(i.Items - left)
		h.did.Redriven++
	}
}

func (h *history) purgeLetters() {
	infos, _, err := deadletter.List(h.Context(), h.q, topology.DeadLetters, deadletter.Filter{}, 3, 0)
	h.ok(err)
	if len(infos) == 0 {
		return
	}
	f := deadletter.Filter{UpTo: infos[len(infos)-1].Sequence}
	h.again(func() error {
		_, err := deadletter.Purge(h.Context(), h.q, topology.DeadLetters, f, false, h.rec, nil)
		return err
	})
	for _, i := range infos {
		h.done[row{i.Destination, i.Signal}].purged += uint64(i.Items)
	}
}

// rob takes messages out of a stream, whoever needs them. Those that a worker
// holds it will still export; that is why it is done to what nobody holds.
func (h *history) rob() {
	s := otlp.Signals[h.r.IntN(3)]
	stream := topology.Stream(s, 0)
	st, err := h.q.StreamState(h.Context(), stream)
	h.ok(err)
	counted := h.counted(stream)
	if counted < st.FirstSeq { // what was not counted is another matter
		return
	}
	up := st.FirstSeq + h.r.Uint64N(counted-st.FirstSeq+1)
	h.ok(h.q.Purge(h.Context(), stream, up))
	h.did.Robbed++
}

// counted is what the ledger is known to have counted.
func (h *history) counted(stream string) uint64 {
	v, err := h.q.Load(h.Context(), keyHold)
	if errors.Is(err, queue.ErrNotFound) {
		return 0
	}
	h.ok(err)
	var kept hold
	h.ok(json.Unmarshal(v.Data, &kept))
	return kept.Streams[stream].Counted
}

// finish lets everything be delivered, and looks.
func (h *history) finish() {
	if len(h.workers) > 0 && h.r.IntN(2) == 0 { // scale to zero, and back
		for len(h.workers) > 0 {
			h.leave(h.workers[0])
		}
	}
	all, some := h.world.worker("all"), h.world.worker("logs")
	turn := func() {
		time.Sleep(Every)
		for _, x := range h.workers {
			x.tell(false)
		}
		h.round()
	}
	for range 10 { // what the dead held comes back after the ack wait
		all.drain(topology.Stream(otlp.Traces, 0), topology.Stream(otlp.Metrics, 0), logs)
		some.drain(logs)
		turn()
	}
	if h.r.IntN(2) == 0 {
		for _, x := range slices.Clone(h.workers) {
			x.gone(true)
		}
	}
	if h.r.IntN(3) == 0 {
		time.Sleep(25 * time.Hour) // all that ended is folded
	}
	h.q.save = nil
	for range 8 {
		turn()
		h.keepers[0].round(h.Context())
		h.keepers[1].round(h.Context())
	}
	h.check()
}

func (h *history) check() {
	l, err := Read(h.Context(), h.q)
	h.ok(err)
	lost := uint64(0)
	for r, sent := range h.sent {
		o := h.done[r]
		if o == nil {
			o = &outcome{}
		}
		v, ok := l.Row(r.signal, r.destination)
		if !ok && sent > 0 {
			h.fatal("no row of %v in %+v", r, l)
		}
		gone := less(sent, o.exported+o.rejected+o.dead+o.unwanted)
		lost += gone
		dead := o.dead - o.redriven - o.purged
		if v.Accepted != sent || v.Pending != 0 || v.DeadLettered != dead || v.Redriven != o.redriven || v.Purged != o.purged || v.Balance != 0 {
			h.fatal("row is\n%+v, want %d accepted, %+v, dead %d, lost %d; problems %q", v, sent, *o, dead, gone, l.Problems)
		}
		switch {
		case !h.rough:
			if v.Exported != o.exported || v.Rejected != o.rejected || v.Unwanted != o.unwanted || v.Uncounted != 0 || v.CountedTwice != 0 || v.Missing != gone {
				h.fatal("row is\n%+v, want exactly %+v and %d missing; problems %q", v, *o, gone, l.Problems)
			}
		case v.Missing > 0 && !h.robbed: // else the killed and the robbed cannot be told apart
			h.fatal("row is\n%+v, and nothing is missing; problems %q", v, l.Problems)
		case v.Missing+v.Uncounted+v.Exported+v.Rejected+v.DeadLettered+v.Redriven+v.Unwanted+v.Purged != sent+v.CountedTwice:
			h.fatal("row does not add up: %+v", v)
		}
		h.did.Twice += int(v.CountedTwice)
	}
	h.did.Lost += int(lost)
	if !h.rough && l.OK != (lost == 0) || l.OK && lost > 0 && h.did.Killed == 0 || lost == 0 && !l.OK && !h.robbed {
		h.fatal("OK is %t with %d items lost: %q\n%+v", l.OK, lost, l.Problems, l.Signals)
	}
	if !h.rough {
		h.unrouted(l)
	}
	tenants := uint64(0)
	for _, x := range l.Tenants {
		tenants += x.Accepted
	}
	all := uint64(0)
	for _, v := range l.Signals {
		all += v.Accepted
	}
	if tenants != all {
		h.fatal("%d items are of tenants, %d of signals", tenants, all)
	}
}

// unrouted wants the ledger to know what the first destination passed over, which
// here is what nobody wants.
func (h *history) unrouted(l Ledger) {
	for _, s := range otlp.Signals {
		var want, got uint64
		if o := h.done[row{"all", s.String()}]; o != nil {
			want = o.unwanted
		}
		for _, u := range l.Unrouted {
			if u.Signal == s.String() {
				got = u.Items
			}
		}
		if got != want {
			h.fatal("%d items of %s are unrouted, want %d", got, s, want)
		}
	}
}
