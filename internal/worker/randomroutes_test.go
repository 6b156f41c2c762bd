package worker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// randomRoute is a destination's, and what it takes of an item.
type randomRoute struct {
	tenants, where []string
	wants          func(tenant, team string) bool
}

var randomRoutes = []randomRoute{
	{nil, nil, func(string, string) bool { return true }},
	{[]string{"prod"}, nil, func(tenant, _ string) bool { return tenant == "prod" }},
	{[]string{"*o*"}, []string{"team"}, func(tenant, team string) bool { return tenant == "prod" && team != "" }},
	{nil, []string{"team=x"}, func(_, team string) bool { return team == "x" }},
	{[]string{worker.NoTenant, "dev"}, []string{"team=~x|y"}, func(tenant, team string) bool { return tenant != "prod" && team != "" }},
	{[]string{"nobody"}, nil, func(string, string) bool { return false }},
	{nil, []string{"team=z"}, func(string, string) bool { return false }},
}

// TestRandomRoutesBalance: two destinations with routes of a seed answer anything
// for half an hour, and then as they should, over restarts of the worker and, in
// every other history, changes of the routes while messages are half delivered.
// Each item is exported, dead or unwanted for each destination, and without such
// changes exactly where its route says; what neither wants is counted once.
func TestRandomRoutesBalance(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { routeHistory(t, seed) }) })
	}
}

func routeHistory(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 21))
	end := time.Now().Add(30 * time.Minute)
	pick := func() randomRoute { return randomRoutes[rnd.IntN(len(randomRoutes))] }
	names, routes := []string{"a", "b"}, []randomRoute{pick(), pick()}
	destination := func(i int) worker.Destination {
		return to(names[i], only("logs"), tenants(routes[i].tenants...), where(routes[i].where...), func(d *worker.Destination) {
			d.MergeMessages, d.MaxInFlight = 1+rnd.IntN(32), 1+rnd.IntN(6)
			d.MaxRequestBytes = config.ByteSize(2000 + rnd.IntN(10_000))
		})
	}
	r, books := routed(t, memory.New(), destination(0), destination(1))
	bad := map[int]bool{}
	for range 20 {
		bad[rnd.IntN(3000)] = true
	}
	lost := &exporter.Error{Kind: exporter.Retryable, Code: "timeout", Err: errors.New("no answer")}
	for i, b := range books {
		chance, moody := rand.New(rand.NewPCG(seed, uint64(100+i))), rnd.IntN(9)
		b.Lost = func(err error) bool { return err == lost }
		b.Judge = func(items []int, _ int) error {
			dies := slices.ContainsFunc(items, func(i int) bool { return bad[i] })
			if time.Now().Before(end) && chance.IntN(10) < moody {
				if chance.IntN(4) == 0 && !dies {
					return lost
				}
				return retryable(time.Duration(chance.IntN(3)) * time.Second)
			}
			if dies {
				return permanent()
			}
			return nil
		}
	}
	reloads := seed%2 == 1
	var tenant []string // of each item
	messages := 0
	var workers []*worker.Worker
	for part := range 3 {
		r.start()
		workers = append(workers, r.w)
		for range 15 {
			n, of := 1+rnd.IntN(100), []string{"prod", "dev", ""}[rnd.IntN(3)]
			r.teams(of, len(tenant), n)
			tenant, messages = append(tenant, slices.Repeat([]string{of}, n)...), messages+1
			wait(time.Duration(rnd.IntN(20)) * time.Second)
			if reloads && rnd.IntN(4) == 0 {
				i := rnd.IntN(2)
				routes[i] = pick()
				r.o.Destinations[i].Tenants, r.o.Destinations[i].Where = routes[i].tenants, routes[i].where
				apply, err := r.w.Prepare(r.o.Destinations)
				if err != nil {
					t.Fatal(err)
				}
				apply()
			}
		}
		if part < 2 {
			r.stop()
		}
	}
	wait(2 * time.Hour)
	r.stop()
	wanted := func(i, item int) bool { return routes[i].wants(tenant[item], team(item)) }
	for i, name := range names {
		var sum fleet.Tally
		for _, w := range workers {
			for _, x := range w.Tally() {
				if x.Destination == name {
					sum = sum.Plus(x)
				}
			}
		}
		if sum.Exported+sum.Dead+sum.Unwanted != uint64(len(tenant)) || sum.Messages != uint64(messages) {
			t.Errorf("%s is counted as %+v of %d items in %d messages", name, sum, len(tenant), messages)
		}
		r.settled(otlp.Logs, name, messages)
		if reloads {
			continue
		}
		got, unwanted, unrouted := books[i].Got(), uint64(0), uint64(0)
		for item := range tenant {
			if (got[item] > 0) != (wanted(i, item) && !bad[item]) {
				t.Errorf("%s took item %d %d times, wanted: %t, bad: %t", name, item, got[item], wanted(i, item), bad[item])
			}
			if !wanted(i, item) {
				unwanted++
				if i == 0 && !wanted(1, item) {
					unrouted++
				}
			}
		}
		if sum.Unwanted != unwanted || sum.Unrouted != unrouted {
			t.Errorf("%s: %d unwanted and %d unrouted are counted, want %d and %d", name, sum.Unwanted, sum.Unrouted, unwanted, unrouted)
		}
	}
}
