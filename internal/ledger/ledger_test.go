package ledger

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
)

func TestEveryItemIsInOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.worker("all")
		w.looks(1)
		for range 10 {
			w.publish(otlp.Logs, "red", 10)
		}
		w.publish(otlp.Traces, "", 7)
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Pending: 100})
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 100, Pending: 100})
		w.row(Row{Signal: "traces", Destination: "all", Accepted: 7, Pending: 7})
		w.row(Row{Signal: "metrics", Destination: "all"})
		ds := a.take(logs, 10)
		a.settle(ds[0], fate{}, false)
		a.settle(ds[1], fate{rejected: 4}, false)
		a.settle(ds[2], fate{dead: 10}, false)
		a.settle(ds[3], fate{rejected: 1, dead: 2}, false) // the rest was exported
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Pending: 60, Exported: 23, Rejected: 5, DeadLettered: 12})
		a.settle(ds[9], fate{}, false) // above the floor: 5 of the 6 are not settled
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Pending: 50, PendingEstimated: true, Exported: 33, Rejected: 5, DeadLettered: 12})
		for _, d := range ds[4:9] {
			a.settle(d, fate{}, false)
		}
		a.gone(true) // scaled to zero
		w.looks(6)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Exported: 83, Rejected: 5, DeadLettered: 12})
		w.fine(true)
		l := w.keepers[0].View()
		if len(l.Tenants) == 0 || l.Tenants[0] != (Tenant{Tenant: "red", Signal: "logs", Destination: "all", Accepted: 100, AcceptedBytes: 1000, Exported: 83, Rejected: 5, DeadLettered: 12}) {
			t.Errorf("tenants %+v", l.Tenants)
		}
	})
}

func TestLettersAreRedrivenAndPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.worker("all")
		for range 4 {
			w.publish(otlp.Logs, "", 10)
		}
		w.looks(1)
		for _, d := range a.take(logs, 4) {
			a.settle(d, fate{dead: 10}, false)
		}
		w.looks(2)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 40, DeadLettered: 40})
		infos, _, err := deadletter.List(t.Context(), w.q, topology.DeadLetters, deadletter.Filter{}, 0, 0)
		w.ok(err)
		// Of the first 7 items are taken, the rest dies again.
		m, _, err := w.q.Get(t.Context(), topology.DeadLetters, infos[0].Sequence)
		w.ok(err)
		r := recordOf(t, m)
		r.Items = 3
		w.ok(deadletter.Renew(t.Context(), w.q, topology.DeadLetters, infos[0], r, "0-2", 1, deadletter.Letter{Reason: deadletter.ReasonRejected}))
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 40, DeadLettered: 40})
		for range 2 { // told twice
			w.ok(w.rec.Redriven(t.Context(), []Redriven{{infos[0], 7}}))
			w.looks(1)
		}
		w.ok(w.q.RemoveMessage(t.Context(), topology.DeadLetters, infos[0].Sequence))
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 40, DeadLettered: 33, Redriven: 7})
		for range 2 {
			_, err = deadletter.Purge(t.Context(), w.q, topology.DeadLetters, deadletter.Filter{Sequences: []uint64{infos[1].Sequence, infos[2].Sequence}}, false, w.rec, nil)
			w.ok(err)
			w.looks(8)
		}
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 40, DeadLettered: 13, Redriven: 7, Purged: 20})
		w.fine(true)
		_, err = deadletter.Purge(t.Context(), w.q, topology.DeadLetters, deadletter.Filter{}, false, w.rec, nil)
		w.ok(err)
		w.looks(8)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 40, Redriven: 7, Purged: 33})
		w.fine(true)
	})
}

// A letter that goes without a word is a loss, until an operator knows of it.
func TestLettersThatVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.worker("all")
		w.publish(otlp.Logs, "", 10)
		w.looks(1)
		a.settle(a.take(logs, 1)[0], fate{dead: 10}, false)
		w.looks(1)
		w.ok(w.q.Purge(t.Context(), topology.DeadLetters, 1))
		w.looks(8)
		w.fine(false)
		w.ok(w.rec.Forgive(t.Context(), "me"))
		w.looks(1)
		w.fine(true)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 10, Purged: 10})
	})
}

func TestRemovedBehindOurBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.worker("all"), w.worker("logs")
		w.looks(1)
		for range 10 {
			w.publish(otlp.Logs, "", 10)
		}
		w.looks(1)
		for _, d := range a.take(logs, 4) {
			a.settle(d, fate{}, false)
		}
		b.drain(logs)
		w.ok(w.q.Purge(t.Context(), logs, 7)) // destination all had 4
		a.drain(logs)
		w.looks(8)
		w.fine(false)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Exported: 70, Missing: 30})
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 100, Exported: 100})
		w.publish(otlp.Logs, "", 5)
		a.drain(logs)
		b.drain(logs)
		w.looks(8)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 105, Exported: 75, Missing: 30})
		w.fine(false)
		w.ok(w.rec.Forgive(t.Context(), "me"))
		w.looks(2)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 105, Exported: 75, Purged: 30})
		w.fine(true)
	})
}

// What our own janitor purges after everybody had it is no matter.
func TestPurgedByTheJanitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.worker("all"), w.worker("logs")
		for range 10 {
			w.publish(otlp.Logs, "", 10)
		}
		w.looks(1)
		a.drain(logs)
		b.drain(logs)
		w.ok(w.rec.Purging(t.Context(), logs, 10))
		w.ok(w.q.Purge(t.Context(), logs, 10))
		w.looks(8)
		w.fine(true)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Exported: 100})
	})
}

// A worker that is killed leaves what nobody can tell; that is no loss, and what
// is lost after that is found all the same.
func TestKilledWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.worker("all"), w.worker("logs")
		w.looks(2)
		for range 10 {
			w.publish(otlp.Logs, "", 10)
		}
		a.drain(logs)
		b.drain(logs)
		a.gone(false) // it has told of nothing
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Uncounted: 100})
		w.fine(true)
		w.looks(10)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 100, Uncounted: 100, Explained: 100})
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 100, Exported: 100})
		w.fine(true)
		a = w.worker("all")
		for range 10 {
			w.publish(otlp.Logs, "", 10)
		}
		w.looks(1)
		w.ok(w.q.Purge(t.Context(), logs, 11))
		a.drain(logs)
		b.drain(logs)
		w.looks(8)
		w.fine(false)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 200, Exported: 90, Uncounted: 100, Explained: 100, Missing: 10})
		time.Sleep(25 * time.Hour) // what is gone is folded
		w.looks(3)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 200, Exported: 90, Uncounted: 100, Explained: 100, Missing: 10})
	})
}

// A worker that counted and died before its ack: another exports it again.
func TestCountedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.worker("all")
		w.publish(otlp.Logs, "", 10)
		w.looks(1)
		a.settle(a.take(logs, 1)[0], fate{}, true) // sequence 1: dies before the ack
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 10, Pending: 10, Exported: 10, Balance: -10})
		a.gone(false)
		b := w.worker("all")
		w.looks(8)
		b.drain(logs)
		w.looks(8)
		w.fine(true)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 10, Exported: 20, CountedTwice: 10, PossibleDuplicates: 10})
	})
}

func TestDroppedDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.worker("logs")
		for range 10 {
			w.publish(otlp.Logs, "", 10)
		}
		w.looks(1)
		for _, d := range a.take(logs, 4) {
			a.settle(d, fate{}, false)
		}
		a.gone(true)
		without := w.plan
		without.Destinations = w.plan.Destinations[:1]
		w.keepers[0].o.Plan = without
		w.keepers[0].drop()
		w.ok(w.rec.Drop(t.Context(), "logs", "me"))
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 100, Pending: 60, Exported: 40}) // not yet
		left, err := without.Drop(t.Context(), w.q, "logs")
		w.ok(err)
		if len(left) != 1 || left[0].Messages != 6 || left[0].From != 5 {
			t.Errorf("left %+v", left)
		}
		w.looks(8)
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 100, Exported: 40, Purged: 60, Dropped: true})
		w.fine(true)
		// It comes back, and begins with what is there.
		w.ok(topology.ApplyConsumers(t.Context(), w.q, w.plan))
		w.keepers[0].o.Plan = w.plan
		w.keepers[0].drop()
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 200, Pending: 100, Exported: 40, Purged: 60})
		a = w.worker("logs")
		a.drain(logs)
		w.looks(8)
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 200, Exported: 140, Purged: 60})
		w.fine(true)
	})
}

func TestDurableThatVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.worker("logs")
		for range 10 {
			w.publish(otlp.Logs, "", 10)
		}
		w.looks(1)
		for _, d := range a.take(logs, 4) {
			a.settle(d, fate{}, false)
		}
		w.looks(1)
		w.ok(w.q.RemoveConsumer(t.Context(), logs, "export-logs"))
		w.looks(1)
		w.fine(false)
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 100, Pending: 60, Exported: 40})
		w.ok(topology.ApplyConsumers(t.Context(), w.q, w.plan))
		w.looks(1)
		a.drain(logs) // from the beginning
		w.looks(8)
		w.fine(true)
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 100, Exported: 140, DeliveredAgain: 40})
	})
}
