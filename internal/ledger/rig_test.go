package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const logs = "PENSTOCK_LOGS_0"

// flaky is a queue that fails what it is told to, before or after it is done.
type flaky struct {
	queue.Queue
	save func(key string) (before, after error)
}

func (q *flaky) Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	var before, after error
	if q.save != nil {
		before, after = q.save(key)
	}
	if before != nil {
		return 0, before
	}
	rev, err := q.Queue.Save(ctx, key, data, revision)
	return rev, errors.Join(err, after)
}

// world is a queue with everybody who works on it, and what they really did.
type world struct {
	*testing.T
	q       *flaky
	plan    topology.Plan
	keepers []*Keeper
	workers []*worker
	holds   *Holds
	rec     *Recorder
	log     *bytes.Buffer
	reg     *prometheus.Registry
	n       int
	sent    map[row]uint64 // what each row is to get
	done    map[row]*outcome
}

// outcome is what really became of a row's items.
type outcome struct{ exported, rejected, dead, redriven, unwanted, purged uint64 }

func newWorld(t *testing.T, keepers int) *world {
	t.Helper()
	w := &world{T: t, q: &flaky{Queue: memory.New()}, log: new(bytes.Buffer), reg: prometheus.NewRegistry(), sent: map[row]uint64{}, done: map[row]*outcome{},
		plan: topology.Plan{Shards: 1, MaxBytes: 100 << 20, AckWait: 30 * time.Second, MaxAckPending: 20,
			Destinations: []topology.Destination{{Name: "all"}, {Name: "logs", Signals: []otlp.Signal{otlp.Logs}}}}}
	w.ok(topology.Apply(t.Context(), w.q, w.plan))
	for i := range keepers {
		w.keepers = append(w.keepers, w.keeper(fmt.Sprint("keeper", i)))
	}
	w.holds = NewHolds(w.q, w.plan, slog.New(slog.NewTextHandler(w.log, nil)))
	w.rec = NewRecorder(w.q)
	t.Cleanup(func() {
		for _, k := range w.keepers {
			k.drop()
		}
	})
	return w
}

func (w *world) keeper(holder string) *Keeper {
	return New(Options{Queue: w.q, Plan: w.plan, Holder: holder, Metrics: NewMetrics(prometheus.WrapRegistererWith(prometheus.Labels{"k": holder}, w.reg)),
		Logger: slog.New(slog.NewTextHandler(w.log, nil))})
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// publish stores a message of so many items.
func (w *world) publish(s otlp.Signal, tenant string, items int) {
	w.Helper()
	w.n++
	m := record.Encode(&record.Record{ID: fmt.Sprint("m", w.n), Signal: s, Tenant: tenant, Codec: "none", Items: items, RawBytes: 10 * items, Body: []byte("x")})
	_, err := w.q.Publish(w.Context(), topology.Stream(s, 0), m)
	w.ok(err)
	for _, d := range w.plan.Destinations {
		if d.Takes(s) {
			w.sent[row{d.Name, s.String()}] += uint64(items)
		}
	}
}

// worker is one of a destination.
type worker struct {
	w       *world
	p       fleet.Process
	to      string
	tallies map[cell]*fleet.Tally
	told    time.Time
}

func (w *world) worker(to string) *worker {
	x := &worker{w: w, to: to, tallies: map[cell]*fleet.Tally{}}
	x.p = fleet.Process{ID: fleet.NewID("worker", fmt.Sprint(to, len(w.workers))), Role: fleet.RoleWorker, StartedAt: time.Now(),
		Destinations: []fleet.Destination{{Name: to}}}
	x.tell(false)
	w.workers = append(w.workers, x)
	return x
}

func (x *worker) tell(stopped bool) {
	x.p.At, x.p.Stopped, x.told = time.Now(), stopped, time.Now()
	x.p.Tallies = nil
	for _, t := range x.tallies {
		x.p.Tallies = append(x.p.Tallies, *t)
	}
	data, err := json.Marshal(x.p)
	x.w.ok(err)
	_, err = x.w.q.Queue.Save(x.w.Context(), "process/"+x.p.ID, data, queue.AnyRevision)
	x.w.ok(err)
}

// gone takes the worker out, with a last word or without.
func (x *worker) gone(word bool) {
	if word {
		x.tell(true)
	}
	x.w.workers = slices.DeleteFunc(x.w.workers, func(y *worker) bool { return x == y })
}

// take gets what is there of a stream, at most n messages.
func (x *worker) take(stream string, n int) (all []queue.Delivery) {
	c, err := x.w.q.Consume(x.w.Context(), stream, topology.Durable(x.to), queue.ConsumeOptions{})
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	x.w.ok(err)
	for range n {
		d, ok := c.TryNext()
		if !ok {
			break
		}
		all = append(all, d)
	}
	x.w.ok(c.Close())
	return all
}

// fate of the items of a delivery that were not exported.
type fate struct{ rejected, dead, unwanted int }

// settle has so many items of a delivery rejected, buries and passes over so many,
// and exports the rest; then it counts and acknowledges, or dies in between.
func (x *worker) settle(d queue.Delivery, f fate, dies bool) {
	x.w.Helper()
	r, err := record.Decode(d.Message())
	x.w.ok(err)
	at := row{x.to, r.Signal.String()}
	if f.dead > 0 {
		part := *r
		part.Items = f.dead
		name := ""
		if f.dead < r.Items {
			name = deadletter.Part("", 0, f.dead)
		}
		x.w.ok(deadletter.Publish(x.w.Context(), x.w.q, topology.DeadLetters, deadletter.OriginOf(d), &part, name,
			deadletter.Letter{Reason: deadletter.ReasonRejected, Destination: x.to}))
	}
	if dies && d.Sequence()%2 == 0 { // after the export, before anything is known of it
		return
	}
	c := cell{at, r.Tenant}
	if x.tallies[c] == nil {
		x.tallies[c] = &fleet.Tally{Destination: x.to, Signal: at.signal, Tenant: r.Tenant}
	}
	t := x.tallies[c]
	exported := uint64(r.Items - f.rejected - f.dead - f.unwanted)
	t.Exported += exported
	t.Rejected += uint64(f.rejected)
	t.Dead += uint64(f.dead)
	t.Unwanted += uint64(f.unwanted)
	if x.to == "all" { // the first of the destinations, which counts for all
		t.Unrouted += uint64(f.unwanted)
	}
	t.Messages++
	if d.Attempt() > 1 {
		t.PossibleDuplicates += exported
	}
	if dies && d.Sequence()%4 == 1 { // after it was counted and told
		x.tell(false)
		return
	}
	x.w.ok(d.Ack())
	if x.w.done[at] == nil {
		x.w.done[at] = &outcome{}
	}
	o := x.w.done[at]
	o.exported += exported
	o.rejected += uint64(f.rejected)
	o.dead += uint64(f.dead)
	o.unwanted += uint64(f.unwanted)
}

// drain exports all that is there, each message whole.
func (x *worker) drain(streams ...string) {
	for _, s := range streams {
		for _, d := range x.take(s, 1000) {
			x.settle(d, fate{}, false)
		}
	}
}

// looks lets time pass, with everybody telling and the first keeper looking.
func (w *world) looks(n int) {
	w.Helper()
	for range n {
		time.Sleep(Every)
		for _, x := range w.workers {
			x.tell(false)
		}
		w.keepers[0].round(w.Context())
	}
}

// row wants a row to be this, where a field not named is 0.
func (w *world) row(want Row) {
	w.Helper()
	l := w.keepers[0].View()
	got, ok := l.Row(want.Signal, want.Destination)
	if !ok || got != want {
		w.Errorf("row is\n%+v, want\n%+v\nproblems %q\n%s", got, want, l.Problems, w.log)
	}
}

// fine wants the ledger to be, or not to be, OK.
func (w *world) fine(want bool) {
	w.Helper()
	l, err := Read(w.Context(), w.q)
	if err != nil || l.OK != want || l.OK != (len(l.Problems) == 0) {
		w.Errorf("the ledger is OK: %t, want %t (%v): %q", l.OK, want, err, l.Problems)
	}
}

func recordOf(t *testing.T, m *queue.Message) *record.Record {
	t.Helper()
	r, err := record.Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
