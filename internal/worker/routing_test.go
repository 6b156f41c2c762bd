package worker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func tenants(names ...string) func(*worker.Destination) {
	return func(d *worker.Destination) { d.Tenants = names }
}

func where(conditions ...string) func(*worker.Destination) {
	return func(d *worker.Destination) { d.Where = conditions }
}

// team of an item: each ten of one, in turns.
func team(i int) string { return []string{"x", "y", ""}[i/10%3] }

// teams publishes n log records of a tenant, of teams.
func (r *rig) teams(tenant string, from, n int) {
	r.t.Helper()
	r.n++
	raw := shiptest.Teams(from, n, team)
	enc, err := codec.NewEncoder(codec.S2, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := enc.Append(nil, raw)
	if err != nil {
		r.t.Fatal(err)
	}
	r.publish(topology.Stream(otlp.Logs, 0), record.Encode(&record.Record{ID: fmt.Sprintf("01TEAM%06d", r.n), Signal: otlp.Logs, Tenant: tenant,
		Codec: codec.S2, Items: n, RawBytes: len(raw), Body: body}))
}

// routed is a rig whose destinations take logs and keep books.
func routed(t *testing.T, q queue.Queue, destinations ...worker.Destination) (*rig, []*shiptest.Backend) {
	t.Helper()
	var books []*shiptest.Backend
	var exporters []exporter.Exporter
	for i := range destinations {
		destinations[i].Signals = []string{"logs"}
		b := &shiptest.Backend{}
		books, exporters = append(books, b), append(exporters, b)
	}
	return newRig(t, q, destinations, exporters...), books
}

// sum is the tally of a destination over all tenants.
func (r *rig) sum(destination string) (sum fleet.Tally) {
	for _, t := range r.w.Tally() {
		if t.Destination == destination {
			sum = sum.Plus(t)
		}
	}
	return sum
}

// done waits until a destination has settled n messages.
func (r *rig) done(destination string, n int) {
	r.t.Helper()
	until(r.t, destination+" settles all", func() bool { return r.state(otlp.Logs, destination).AckFloor == uint64(n) })
}

// took wants exactly the items of which want is true.
func took(t *testing.T, name string, b *shiptest.Backend, n int, want func(i int) bool) {
	t.Helper()
	got := b.Got()
	for i := range n {
		if (got[i] == 1) != want(i) || got[i] > 1 {
			t.Errorf("%s took item %d %d times, wanted: %t", name, i, got[i], want(i))
		}
	}
}

// TestRoutes: each destination gets what it wants and nothing else, by tenant and
// by condition, merged and alone, from the memory queue and from a server; what
// nobody wants is counted once.
func TestRoutes(t *testing.T) {
	for name, open := range map[string]func() queue.Queue{"memory": func() queue.Queue { return memory.New() }, "server": func() queue.Queue { return open(t, server(t)) }} {
		for _, merge := range []int{1, 64} {
			t.Run(fmt.Sprint(name, " merging ", merge), func(t *testing.T) {
				some := func(d *worker.Destination) { d.MergeMessages = merge }
				r, books := routed(t, open(), to("prod", tenants("prod"), some), to("teamx", where("team=x"), some))
				const messages, each = 24, 60
				tenant := func(i int) string { return []string{"prod", "dev", ""}[i/each/4%3] } // runs of 4, to be merged
				for m := range messages {
					r.teams(tenant(m*each), m*each, each)
				}
				r.start()
				r.done("prod", messages)
				r.done("teamx", messages)
				r.stop()
				n := messages * each
				took(t, "prod", books[0], n, func(i int) bool { return tenant(i) == "prod" })
				took(t, "teamx", books[1], n, func(i int) bool { return team(i) == "x" })
				if got := r.sum("prod"); got.Exported != uint64(n/3) || got.Unwanted != uint64(n*2/3) || got.Unrouted != uint64(n*2/3*2/3) || got.Messages != messages {
					t.Errorf("prod is counted as %+v of %d", got, n)
				}
				if got := r.sum("teamx"); got.Exported != uint64(n/3) || got.Unwanted != uint64(n*2/3) || got.Unrouted != 0 || got.Messages != messages {
					t.Errorf("teamx is counted as %+v of %d", got, n)
				}
				r.wantMetric(float64(n*2/3), "penstock_exporter_unwanted_log_records_total", "destination=prod")
				r.wantMetric(float64(n*2/3*2/3), "penstock_worker_unrouted_items_total", "signal=logs")
				if requests, _ := books[0].Requests(); merge == 1 && requests != messages/3 || requests > messages/3 {
					t.Errorf("prod got %d requests", requests)
				}
				if got := r.w.Status()[0].Unwanted["logs"]; got != uint64(n*2/3) {
					t.Errorf("the status has %d unwanted items", got)
				}
			})
		}
	}
}

// What is wanted whole goes out as it is stored, though there are conditions.
func TestWantedWholeIsShippedAsStored(t *testing.T) {
	var codecs []string
	r := newRig(t, memory.New(), []worker.Destination{to("backend", only("logs"), where("team"))}, export(func(_ context.Context, q *exporter.Request) (exporter.Result, error) {
		codecs = append(codecs, q.Codec) // one lane, one message after the other
		return exporter.Result{}, nil
	}))
	r.teams("", 0, 20)
	r.teams("", 0, 30)
	r.o.Destinations[0].MaxInFlight = 1
	r.start()
	r.done("backend", 2)
	r.stop()
	if !slices.Equal(codecs, []string{codec.S2, codec.None}) {
		t.Errorf("exports are in %q", codecs)
	}
}

// A destination whose lane counts for all does not, where others drain the stream
// that it knows nothing of.
func TestNothingIsUnroutedBesideStrangers(t *testing.T) {
	r, _ := routed(t, memory.New(), to("prod", tenants("prod")))
	if err := r.q.EnsureConsumer(t.Context(), topology.Stream(otlp.Logs, 0), queue.ConsumerConfig{Name: topology.Durable("another")}); err != nil {
		t.Fatal(err)
	}
	r.teams("dev", 0, 30)
	r.start()
	r.done("prod", 1)
	r.stop()
	if got := r.sum("prod"); got.Unwanted != 30 || got.Unrouted != 0 {
		t.Errorf("counted as %+v", got)
	}
}

// Allows is asked at delivery: what it says then is what counts.
func TestTenantsDestinations(t *testing.T) {
	r, books := routed(t, memory.New(), to("a"), to("b"))
	r.o.Allows = func(tenant, destination string) bool { return tenant == "" || tenant == destination }
	for i, tenant := range []string{"a", "b", "", "c"} {
		r.teams(tenant, 30*i, 30)
	}
	r.start()
	r.done("a", 4)
	r.done("b", 4)
	r.stop()
	took(t, "a", books[0], 120, func(i int) bool { return i/30 == 0 || i/30 == 2 })
	took(t, "b", books[1], 120, func(i int) bool { return i/30 == 1 || i/30 == 2 })
	r.wantMetric(30, "penstock_worker_unrouted_items_total", "signal=logs")
}

// While a destination takes nothing, what it does not want is no probe: the
// breaker stays open until what it wants was taken.
func TestUnwantedIsNoProbe(t *testing.T) {
	down := make(chan struct{})
	r, books := routed(t, memory.New(), to("backend", tenants("prod"), func(d *worker.Destination) {
		d.Retry = worker.Retry{Initial: d.Retry.Initial / 100, Max: d.Retry.Max / 100}
		d.Breaker = worker.Breaker{Failures: 1, Initial: d.Breaker.Initial / 10, Max: d.Breaker.Max / 10}
	}))
	books[0].Judge = func([]int, int) error {
		select {
		case <-down:
			return nil
		default:
			return retryable(0)
		}
	}
	r.teams("prod", 0, 10)
	r.start()
	until(t, "the breaker opens", func() bool { return r.metric("penstock_exporter_breaker_state") > 0 })
	for i := range 20 {
		r.teams("dev", 10+10*i, 10)
	}
	until(t, "what is not wanted is passed over", func() bool { return r.sum("backend").Unwanted == 200 })
	if r.metric("penstock_exporter_breaker_state") == 0 || r.metric("penstock_exporter_sent_log_records_total") != 0 {
		t.Error("the breaker is closed, and nothing was taken")
	}
	close(down)
	r.done("backend", 21)
	r.stop()
	took(t, "backend", books[0], 210, func(i int) bool { return i < 10 })
}

// What waited in the reader while a message was passed over, which may take long, is
// extended when it is taken, as after a wait for a slot.
func TestPassingOverIsAWaitToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n, slow atomic.Int64
		slow.Store(int64(30 * time.Second))
		q := &tapped{Queue: memory.New(), delivery: func(d queue.Delivery) queue.Delivery { return &slowAck{d, &slow, &n} }}
		r, books := routed(t, q, to("backend", tenants("prod")))
		f := func(want int) {
			t.Helper()
			n.Store(0)
			r.teams("dev", 0, 10)
			r.teams("prod", 10, 10)
			time.Sleep(10 * time.Second)
			if n.Load() != 0 {
				t.Errorf("extended %d times while the first is passed over", n.Load())
			}
			time.Sleep(time.Duration(slow.Load()) + 5*time.Second)
			if int(n.Load()) != want {
				t.Errorf("extended %d times in the reader, want %d", n.Load(), want)
			}
		}
		r.o.Config.AckWait *= 10 // nothing is extended because it is held for long
		r.start()
		f(1)
		time.Sleep(time.Hour)
		slow.Store(0)
		f(0)
		r.stop()
		if got := len(books[0].Got()); got != 10 {
			t.Errorf("%d items arrived, want 10", got)
		}
	})
}

// slowAck is acknowledged after a time, where that is not 0, and counts how often
// it is extended.
type slowAck struct {
	queue.Delivery
	after, extended *atomic.Int64
}

func (d *slowAck) Extend() error {
	d.extended.Add(1)
	return d.Delivery.Extend()
}

func (d *slowAck) Ack() error {
	if d.after.Load() > 0 && d.Message().Header[record.HeaderTenant] == "dev" {
		return errUnacked
	}
	return d.Delivery.Ack()
}

func (d *slowAck) AckSync(ctx context.Context) error {
	time.Sleep(time.Duration(d.after.Load()))
	return d.Delivery.AckSync(ctx)
}

// Letters hold what was wanted and nothing else, and say so.
func TestDeadLettersOfARoute(t *testing.T) {
	r, books := routed(t, memory.New(), to("backend", where("team=x")))
	books[0].Judge = rejecting(3, 34)
	r.teams("acme", 0, 60)
	r.start()
	r.done("backend", 1)
	r.stop()
	took(t, "backend", books[0], 60, func(i int) bool { return team(i) == "x" && i != 3 && i != 34 })
	buried, _ := r.buried()
	if !maps.Equal(buried, map[int]int{3: 1, 34: 1}) {
		t.Errorf("buried are %v", buried)
	}
	for _, m := range r.dead() {
		if part := m.Header[deadletter.HeaderPart]; !strings.HasPrefix(part, "where-") {
			t.Errorf("the part is %q", part)
		}
	}
	if got := r.sum("backend"); got.Exported != 18 || got.Dead != 2 || got.Unwanted != 40 {
		t.Errorf("counted as %+v", got)
	}
}

// What does not decode cannot be held against conditions: it is buried, and not
// passed over in silence.
func TestUnreadableIsBuried(t *testing.T) {
	r, books := routed(t, memory.New(), to("backend", where("team=x")))
	for i, body := range []string{"\xff\xff\xff", "\x0a\x05abc"} {
		r.publish(topology.Stream(otlp.Logs, 0), record.Encode(&record.Record{ID: fmt.Sprint("bad", i), Signal: otlp.Logs, Codec: []string{codec.S2, codec.None}[i], Items: 5, RawBytes: 5, Body: []byte(body)}))
	}
	r.start()
	r.done("backend", 2)
	r.stop()
	if n, _ := books[0].Requests(); n != 0 || len(r.dead()) != 2 {
		t.Errorf("%d requests, %d letters", n, len(r.dead()))
	}
	if got := r.sum("backend"); got.Dead != 10 || got.Unwanted != 0 {
		t.Errorf("counted as %+v", got)
	}
}

// A reload between two turns of a message that is half delivered: the rest goes by
// the conditions with which it began, and the next message by the new ones.
func TestReloadDoesNotMoveWhatIsHalfDelivered(t *testing.T) {
	r, books := routed(t, memory.New(), to("backend", where("team=x"), func(d *worker.Destination) {
		d.MaxRequestBytes, d.MaxInFlight = 1024, 1
		d.Retry = worker.Retry{Initial: d.Retry.Initial / 100, Max: d.Retry.Max / 100}
	}))
	requests, reloaded := 0, make(chan struct{})
	books[0].Judge = func([]int, int) error {
		requests++
		select {
		case <-reloaded:
			return nil
		default:
			if requests > 2 {
				return retryable(0)
			}
			return nil
		}
	}
	r.teams("acme", 0, 300)
	r.start()
	until(t, "a part of it is taken", func() bool {
		return r.metric("penstock_exporter_retries_total") > 0 && r.metric("penstock_exporter_sent_log_records_total") > 0
	})
	apply, err := r.w.Prepare([]worker.Destination{to("backend", where("team=y")), to("unknown")})
	if err != nil {
		t.Fatal(err)
	}
	apply()
	close(reloaded)
	r.teams("acme", 300, 300)
	r.done("backend", 2)
	r.stop()
	took(t, "backend", books[0], 600, func(i int) bool { return i < 300 && team(i) == "x" || i >= 300 && team(i) == "y" })
	if got := r.sum("backend"); got.Exported != 200 || got.Unwanted != 400 {
		t.Errorf("counted as %+v", got)
	}
}

// A tenant that a reload takes from a destination: what it has already is counted
// as exported, and the rest as unwanted.
func TestReloadTakesATenantAway(t *testing.T) {
	r, books := routed(t, memory.New(), to("backend", func(d *worker.Destination) {
		d.MaxRequestBytes, d.MaxInFlight = 1024, 1
		d.Retry = worker.Retry{Initial: d.Retry.Initial / 100, Max: d.Retry.Max / 100}
	}))
	requests := 0
	books[0].Judge = func([]int, int) error {
		if requests++; requests > 2 {
			return retryable(0)
		}
		return nil
	}
	r.teams("acme", 0, 300)
	r.start()
	until(t, "a part of it is taken", func() bool {
		return r.metric("penstock_exporter_retries_total") > 0 && r.metric("penstock_exporter_sent_log_records_total") > 0
	})
	apply, err := r.w.Prepare([]worker.Destination{to("backend", tenants("other"))})
	if err != nil {
		t.Fatal(err)
	}
	apply()
	r.done("backend", 1)
	r.stop()
	taken := uint64(len(books[0].Got()))
	if got := r.sum("backend"); taken == 0 || got.Exported != taken || got.Exported+got.Unwanted != 300 || got.Unrouted != 0 {
		t.Errorf("%d items were taken and counted as %+v", taken, got)
	}
}

// A bad route changes nothing.
func TestPrepareRefuses(t *testing.T) {
	r, books := routed(t, memory.New(), to("backend", where("team=x")))
	r.start()
	_, err := r.w.Prepare([]worker.Destination{to("backend", where("team=y")), to("other", where("=~"))})
	if err == nil || !strings.Contains(err.Error(), "destination other: where: ") {
		t.Errorf("the error is %v", err)
	}
	r.teams("acme", 0, 30)
	r.done("backend", 1)
	r.stop()
	took(t, "backend", books[0], 30, func(i int) bool { return team(i) == "x" })
	r.o.Destinations[0].Where = []string{"="}
	if _, err := worker.New(r.o); err == nil {
		t.Error("a worker is made with a bad route")
	}
}

// An ack that is lost: nothing is counted twice, in this process.
func TestUnwantedIsCountedOnce(t *testing.T) {
	q := &tapped{Queue: memory.New()}
	q.delivery = func(d queue.Delivery) queue.Delivery {
		if d.Attempt() == 1 {
			return &unacked{d}
		}
		return d
	}
	r, _ := routed(t, q, to("backend", tenants("prod")), to("other", where("team=x")))
	r.o.Config.AckWait = r.o.Config.AckWait / 60
	r.plan.AckWait = time.Second
	if err := applyConsumers(r); err != nil {
		t.Fatal(err)
	}
	r.teams("dev", 0, 30)
	r.start()
	r.done("backend", 1)
	r.done("other", 1)
	r.stop()
	if got := r.sum("backend"); got.Unwanted != 30 || got.Unrouted != 20 || got.Messages != 1 {
		t.Errorf("counted as %+v", got)
	}
	r.wantMetric(30, "penstock_exporter_unwanted_log_records_total", "destination=backend")
}

// unacked loses its acknowledgement.
type unacked struct{ queue.Delivery }

var errUnacked = errors.New("no connection")

func (unacked) Ack() error                    { return errUnacked }
func (unacked) AckSync(context.Context) error { return errUnacked }
