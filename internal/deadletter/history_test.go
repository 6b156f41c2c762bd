package deadletter_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// history is a queue and what should be in it.
type history struct {
	*testing.T
	q      queue.Queue
	r      *rand.Rand
	model  []deadletter.Info // as listed once, by sequence
	book   book
	purged int
	gone   int // otherwise
	made   int
}

var tenants, destinations = []string{"", "acme", "other"}, []string{"a", "b", "c"}

func (h *history) pick(of []string) string { return of[h.r.IntN(len(of))] }

func (h *history) publish() {
	h.made++
	o := deadletter.Origin{Stream: "PENSTOCK_LOGS_0", Sequence: uint64(h.made), ID: fmt.Sprint("01M", h.made), Attempts: 1 + h.r.IntN(5), StoredAt: time.Unix(int64(h.made), 0)}
	l := deadletter.Letter{Reason: h.pick(deadletter.Reasons()), Destination: h.pick(destinations)}
	items := h.r.IntN(20)
	r := &record.Record{Signal: otlp.Signals[h.r.IntN(otlp.NumSignals)], Tenant: h.pick(tenants), Codec: "none", Items: items, Body: make([]byte, h.r.IntN(50))}
	for range 1 + h.r.IntN(2) { // repetitions
		if err := deadletter.Publish(h.Context(), h.q, "DEAD", o, r, "", l); err != nil {
			h.Fatal(err)
		}
	}
	st, err := h.q.StreamState(h.Context(), "DEAD")
	if err != nil {
		h.Fatal(err)
	}
	m, kept, err := h.q.Get(h.Context(), "DEAD", st.LastSeq)
	if err != nil {
		h.Fatal(err)
	}
	i, err := deadletter.Decode(queue.Entry{Message: m, Sequence: st.LastSeq, StoredAt: kept, Size: len(m.Body)})
	if err != nil || i.ID != o.ID || i.Items != items || i.Tenant != r.Tenant || i.Signal != r.Signal.String() || i.Reason != l.Reason || i.Destination != l.Destination {
		h.Fatalf("read %+v, %v", i, err)
	}
	h.model = append(h.model, i)
}

// filter is a random one, which picks little or much.
func (h *history) filter() (f deadletter.Filter) {
	some := func() bool { return h.r.IntN(3) == 0 }
	if some() {
		f.Destination = h.pick(append(destinations, "renamed"))
	}
	if some() {
		f.Reason = h.pick(deadletter.Reasons())
	}
	if some() {
		f.Tenant = h.pick(tenants)
	}
	if some() {
		f.Signal = otlp.Signals[h.r.IntN(otlp.NumSignals)].String()
	}
	at := func() deadletter.Info {
		if len(h.model) == 0 {
			return deadletter.Info{Sequence: 1 + uint64(h.r.IntN(9)), KeptAt: time.Now()}
		}
		return h.model[h.r.IntN(len(h.model))]
	}
	switch h.r.IntN(8) {
	case 0:
		f.Since = at().KeptAt
	case 1:
		f.Until = at().KeptAt
	case 2:
		for range 1 + h.r.IntN(4) {
			f.Sequences = append(f.Sequences, max(1, at().Sequence+uint64(h.r.IntN(3))-1))
		}
	case 3:
		f.IDs = []string{at().ID, at().LetterID, "none"}
	case 4:
		f.UpTo = at().Sequence
	}
	return f
}

// picked is what a filter picks, by the model.
func (h *history) picked(f deadletter.Filter) []deadletter.Info {
	return slices.DeleteFunc(slices.Clone(h.model), func(i deadletter.Info) bool { return !f.Match(i) })
}

func (h *history) list() {
	f, limit := h.filter(), 1+h.r.IntN(30)
	got, after := []deadletter.Info{}, uint64(0)
	for {
		page, next, err := deadletter.List(h.Context(), h.q, "DEAD", f, limit, after)
		if err != nil || len(page) > limit {
			h.Fatalf("%+v: %d letters of %d, %v", f, len(page), limit, err)
		}
		got = append(got, page...)
		if after = next; next == 0 {
			break
		}
	}
	if want := h.picked(f); !slices.Equal(got, want) {
		h.Fatalf("%+v: listed %v, want %v", f, sequences(got), sequences(want))
	}
}

func (h *history) wantSummary(f deadletter.Filter, s deadletter.Summary, what string) {
	letters, items, bytes := 0, 0, 0
	for _, i := range h.picked(f) {
		letters, items, bytes = letters+1, items+i.Items, bytes+i.Size
	}
	sum := deadletter.Counts{}
	for _, g := range s.Groups {
		sum.Letters, sum.Items, sum.Bytes = sum.Letters+g.Letters, sum.Items+g.Items, sum.Bytes+g.Bytes
	}
	if s.Letters != uint64(letters) || s.Items != uint64(items) || s.Bytes != uint64(bytes) || sum.Letters != s.Letters || sum.Items != s.Items || sum.Bytes != s.Bytes {
		h.Fatalf("%s %+v: %+v, want %d letters, %d items, %d bytes", what, f, s, letters, items, bytes)
	}
}

func (h *history) summarize() {
	f := h.filter()
	s, err := deadletter.Summarize(h.Context(), h.q, "DEAD", f)
	if err != nil {
		h.Fatal(err)
	}
	h.wantSummary(f, s, "summary")
}

func (h *history) purge() {
	f := h.filter()
	dry := h.r.IntN(2) == 0
	s, err := deadletter.Purge(h.Context(), h.q, "DEAD", f, dry, &h.book, nil)
	if err != nil {
		h.Fatal(err)
	}
	h.wantSummary(f, s, "purge")
	if !dry {
		h.model = slices.DeleteFunc(h.model, f.Match)
		h.purged += int(s.Letters)
	}
	if len(h.book.letters) != h.purged || h.purged+h.gone+len(h.model) != h.made {
		h.Fatalf("made %d, of which %d are there, %d purged and %d recorded", h.made, len(h.model), h.purged, len(h.book.letters))
	}
}

// redriven is what a redrive removes: one from anywhere, or a run at the end.
func (h *history) redriven() {
	for range h.r.IntN(3) * h.r.IntN(50) {
		if len(h.model) == 0 {
			return
		}
		n := len(h.model) - 1
		if h.r.IntN(10) == 0 {
			n = h.r.IntN(len(h.model))
		}
		remove(h, h.q, h.model[n].Sequence)
		h.model = slices.Delete(h.model, n, n+1)
		h.gone++
	}
}

// Whatever is published, removed and purged: lists and sums are those of what is
// there, and each letter is there or recorded as purged.
func TestRandomHistories(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		h := &history{T: t, q: q, r: rand.New(rand.NewPCG(seed, 0))}
		for range 50 {
			switch h.r.IntN(12) {
			case 0, 1, 2:
				h.list()
			case 3, 4:
				h.summarize()
			case 5:
				h.purge()
			case 6:
				h.redriven()
			default:
				for range h.r.IntN(30) {
					h.publish()
				}
			}
		}
		h.list()
	})
}
