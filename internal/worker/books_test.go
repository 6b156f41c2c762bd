package worker_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
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
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// items publishes a group of n log records, numbered from from.
func (r *rig) items(from, n int) *record.Record { return r.itemsOf("acme", from, n, 0) }

func (r *rig) itemsOf(tenant string, from, n, pad int) *record.Record {
	r.t.Helper()
	r.n++
	raw := shiptest.Logs(from, n, pad)
	enc, err := codec.NewEncoder(codec.S2, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := enc.Append(nil, raw)
	if err != nil {
		r.t.Fatal(err)
	}
	rec := &record.Record{ID: fmt.Sprintf("01TEST%06d", r.n), Signal: otlp.Logs, Tenant: tenant, Codec: codec.S2, Items: n, RawBytes: len(raw), Body: body}
	r.publish(topology.Stream(otlp.Logs, 0), record.Encode(rec))
	return rec
}

// buried are the items in the dead-letter stream, with the number of letters of
// each; reasons counts the letters.
func (r *rig) buried() (items map[int]int, reasons map[string]int) {
	r.t.Helper()
	items, reasons = map[int]int{}, map[string]int{}
	for _, m := range r.dead() {
		d, err := record.Decode(m)
		if err != nil {
			r.t.Fatal(err)
		}
		raw, err := codec.Decode(nil, d.Codec, d.Body, 1<<30)
		if err != nil {
			r.t.Fatal(err)
		}
		numbers := shiptest.Numbers(raw)
		if len(numbers) != d.Items {
			r.t.Errorf("letter %s of %d items says %d", m.ID, len(numbers), d.Items)
		}
		for _, i := range numbers {
			items[i]++
		}
		reasons[m.Header[deadletter.HeaderReason]]++
	}
	return items, reasons
}

// balance fails unless each of n items was taken once or lies once among the
// dead letters, but for as many that came twice as are counted as possible
// duplicates, and unless all messages are settled and counted.
func (r *rig) balance(b *shiptest.Backend, n, messages int) (dead []int) {
	r.t.Helper()
	got := b.Got()
	buried, _ := r.buried()
	twice, taken := 0, 0
	for i := range n {
		if got[i] == 0 && buried[i] != 1 || buried[i] > 1 {
			r.t.Errorf("item %d was taken %d times and has %d letters", i, got[i], buried[i])
		}
		taken += got[i]
		twice += max(0, got[i]+buried[i]-1)
	}
	if len(got)+len(buried) < n || len(maps.Collect(maps.All(got))) > n {
		r.t.Errorf("%d items taken and %d buried of %d", len(got), len(buried), n)
	}
	if p := r.possible(); twice > p {
		r.t.Errorf("%d items came twice, %d are counted as possible", twice, p)
	}
	r.settled(otlp.Logs, "backend", messages)
	var sum fleet.Tally
	for _, t := range r.w.Tally() {
		sum.Exported += t.Exported
		sum.Dead += t.Dead
		sum.Messages += t.Messages
	}
	if sum.Messages != uint64(messages) || sum.Dead != uint64(len(buried)) || sum.Exported+sum.Dead != uint64(n) {
		r.t.Errorf("the tally has %+v of %d items in %d messages, %d of them buried", sum, n, messages, len(buried))
	}
	return slices.Sorted(maps.Keys(buried))
}

func (r *rig) possible() int {
	return int(r.metric("penstock_exporter_possible_duplicate_items_total", "signal=logs"))
}

// booked is a rig whose destination takes logs and keeps books.
func booked(t *testing.T, b *shiptest.Backend, edits ...func(*worker.Destination)) *rig {
	t.Helper()
	return newRig(t, memory.New(), []worker.Destination{to("backend", append([]func(*worker.Destination){only("logs")}, edits...)...)}, exporter.Exporter(b))
}

// rejecting answers INVALID_ARGUMENT to what holds one of the bad.
func rejecting(bad ...int) func([]int, int) error {
	return func(items []int, _ int) error {
		for _, i := range bad {
			if slices.Contains(items, i) {
				return permanent()
			}
		}
		return nil
	}
}

// wait lets time pass in a bubble.
func wait(d time.Duration) { time.Sleep(d) }
