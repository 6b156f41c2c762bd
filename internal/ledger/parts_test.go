package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

func entry(seq, items uint64, tenant string) queue.Entry {
	return queue.Entry{Sequence: seq, StoredAt: time.Unix(int64(seq), 0), Message: &queue.Message{Header: map[string]string{
		"Penstock-Items": fmt.Sprint(items), "Penstock-Raw-Bytes": fmt.Sprint(10 * items), "Penstock-Tenant": tenant}}}
}

// The index is exact of what is recent, and elsewhere wrong by less than a step;
// what it calls low never is more than there is.
func TestIndex(t *testing.T) {
	const n = 200_000
	r := rand.New(rand.NewPCG(1, 2))
	b := newBook("S", "logs")
	b.begin(queue.StreamState{FirstSeq: 1})
	truth := make([]uint64, n+1)
	step := uint64(0)
	for seq := uint64(1); seq <= n; seq++ {
		items := r.Uint64N(100)
		truth[seq] = truth[seq-1] + items
		b.add(entry(seq, items, ""))
		step = max(step, b.Step)
	}
	check := func(from uint64) {
		t.Helper()
		exactly := 0
		for range 2000 {
			seq := from + r.Uint64N(n-from+1)
			sum, low, exact := b.upTo(seq)
			if low.Items > truth[seq] || exact && sum.Items != truth[seq] || sum.Items > truth[min(seq+step, n)] || sum.Items+100*step < truth[seq] {
				t.Fatalf("up to %d: %d, at least %d, exact %t, is %d", seq, sum.Items, low.Items, exact, truth[seq])
			}
			if exact {
				exactly++
			} else if seq > n-maxRecent {
				t.Fatalf("%d is not exact", seq)
			}
		}
		if exactly == 0 {
			t.Error("nothing is exact")
		}
	}
	check(0)
	if len(b.Sparse) > maxSparse || len(b.recent) > 2*maxRecent {
		t.Errorf("%d points, %d recent", len(b.Sparse), len(b.recent))
	}
	b.purged(150_000)
	check(150_000)
	// A new keeper reads the recent ones again.
	b.forget()
	for seq := b.rewind() + 1; seq <= n; seq++ {
		b.add(entry(seq, truth[seq]-truth[seq-1], ""))
	}
	if b.behind || b.Total.Items != truth[n] || b.Total.Messages != n {
		t.Errorf("after reading again the total is %+v, behind %t", b.Total, b.behind)
	}
	check(150_000)
	b.purged(n + 1)
	if after := b.rewind(); after != n || b.behind {
		t.Errorf("of an empty stream it reads after %d", after)
	}
	if sum, _, exact := b.upTo(n + 100); sum.Items != truth[n] || !exact {
		t.Errorf("up to the end: %+v", sum)
	}
}

func TestBookOfOddMessages(t *testing.T) {
	b := newBook("S", "logs")
	b.begin(queue.StreamState{FirstSeq: 5})
	b.add(queue.Entry{Sequence: 5, Message: &queue.Message{}})
	b.add(queue.Entry{Sequence: 6, Message: &queue.Message{Header: map[string]string{"Penstock-Items": "99999999999999"}}})
	b.add(entry(9, 3, "a")) // 7 and 8 are gone
	if b.Unreadable != 2 || b.Gaps != 2 || b.Total != (Sum{3, 3, 30}) || b.Counted != 9 {
		t.Errorf("%+v", b)
	}
	for i := range 200 {
		b.add(entry(uint64(10+i), 1, fmt.Sprint("tenant", i)))
	}
	if len(b.Tenants) != maxTenants+1 || b.Tenants[fleet.OtherTenants].Items != uint64(200-maxTenants+2) || b.Tenants.total().Items != b.Total.Items {
		t.Errorf("%d tenants, others %+v of %+v", len(b.Tenants), b.Tenants[fleet.OtherTenants], b.Total)
	}
	c := b
	c.Tenants = byTenant{"a": {1, 1, 1}, "b": {5, 5, 5}}
	if lost := c.cut(100); lost != (Sum{109, 109, 1090}) || c.Counted != 100 || c.Total.plus(c.Lost) != b.Total || c.Tenants.total() != (Sum{}) {
		t.Errorf("cut %+v, left %+v", lost, c.Total)
	}
}

func TestRanges(t *testing.T) {
	var r ranges
	want := map[uint64]bool{}
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		seq := random.Uint64N(500)
		r.add(seq)
		want[seq] = true
	}
	for seq := range uint64(500) {
		if r.has(seq) != want[seq] {
			t.Fatalf("has %d: %t", seq, r.has(seq))
		}
	}
	if !slices.IsSortedFunc(r, func(a, b [2]uint64) int { return int(a[1]) - int(b[0]) }) {
		t.Errorf("not in order: %v", r)
	}
	r.below(250)
	if r.has(80) || r.has(499) != want[499] {
		t.Errorf("below 250 is forgotten: %v", r)
	}
	r = nil
	for i := range uint64(maxRanges + 10) {
		r.add(2 * i)
	}
	if len(r) != maxRanges || r.has(0) || !r.has(2*(maxRanges+9)) {
		t.Errorf("%d ranges from %v", len(r), r[0])
	}
}

// The janitor keeps what is not counted, for as long as somebody counts.
func TestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		f := func(want uint64, held bool) {
			t.Helper()
			needed, err := w.holds.Needed(t.Context())
			from, is := needed[logs]
			if err != nil || is != held || from != want {
				t.Errorf("needed from %d, %t (%v), want %d, %t\n%s", from, is, err, want, held, w.log)
			}
		}
		f(0, false)
		w.publish(otlp.Logs, "", 1)
		f(0, true) // no ledger yet
		time.Sleep(DeadAfter)
		f(0, false)
		if n := strings.Count(w.log.String(), "streams are purged without being counted"); n != 1 {
			t.Errorf("said %d times", n)
		}
		w.looks(1)
		f(0, false) // all is counted
		w.publish(otlp.Logs, "", 1)
		f(2, true)
		w.looks(1)
		w.ok(w.q.EnsureConsumer(t.Context(), logs, queue.ConsumerConfig{Name: "export-new"}))
		f(0, true) // its beginning is not known
		w.looks(1)
		f(0, false)
		for range 100 { // it goes on, and is behind
			w.publish(otlp.Logs, "", 1)
			time.Sleep(DeadAfter / 2)
			w.keepers[0].round(t.Context())
			w.publish(otlp.Logs, "", 1)
			st, err := w.q.StreamState(t.Context(), logs)
			w.ok(err)
			f(st.LastSeq, true)
		}
		w.ok(w.q.Close())
		if _, err := w.holds.Needed(t.Context()); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// One keeps the ledger, the others read it; when it dies another goes on.
func TestKeepers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		if _, err := Read(t.Context(), w.q); !errors.Is(err, ErrNone) {
			t.Errorf("read %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var ended []chan error
		for _, k := range w.keepers {
			c := make(chan error, 1)
			ended = append(ended, c)
			go func() { c <- k.Run(ctx) }()
			synctest.Wait()
		}
		w.publish(otlp.Logs, "", 10)
		w.publish(otlp.Logs, "", 20)
		time.Sleep(2 * Every)
		synctest.Wait()
		for i, k := range w.keepers {
			items, bytes, exact, ok := k.Between(logs, 0, 2)
			if items != 30 || bytes != 300 || !exact || !ok {
				t.Errorf("keeper %d: %d items, %d bytes, exact %t, known %t", i, items, bytes, exact, ok)
			}
			if items, bytes, ok := k.Total(logs); items != 30 || bytes != 300 || !ok {
				t.Errorf("keeper %d: %d items, %d bytes, known %t", i, items, bytes, ok)
			}
			if _, _, ok := k.Total("NONE"); ok {
				t.Error("a stream that is not is known")
			}
			if _, _, _, ok := k.Between("NONE", 0, 1); ok {
				t.Error("a stream that is not is known")
			}
			if v := k.View(); v.Keeper != "keeper0" || len(v.Signals) != 4 || !v.OK {
				t.Errorf("keeper %d sees %+v", i, v)
			}
		}
		err := testutil.GatherAndCompare(w.reg, strings.NewReader(`
# HELP penstock_ledger_leader 1 in the process that keeps the ledger.
# TYPE penstock_ledger_leader gauge
penstock_ledger_leader{k="keeper0"} 1
penstock_ledger_leader{k="keeper1"} 0
# HELP penstock_ledger_ok 1 while the ledger adds up and every required durable is there.
# TYPE penstock_ledger_ok gauge
penstock_ledger_ok{k="keeper0"} 1
penstock_ledger_ok{k="keeper1"} 0
`), "penstock_ledger_leader", "penstock_ledger_ok")
		if err != nil {
			t.Error(err)
		}
		if problems, err := testutil.GatherAndLint(w.reg); err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v %v", problems, err)
		}
		stop()
		for _, c := range ended {
			w.ok(<-c)
		}
		w.fine(true)
		time.Sleep(staleAfter + time.Second)
		w.fine(false) // nobody keeps it
		w.keepers[1].round(t.Context())
		w.fine(true)
		if v := w.keepers[1].View(); v.Keeper != "keeper1" {
			t.Errorf("kept by %s", v.Keeper)
		}
	})
}

// Trouble with the queue is said once, and nothing that was counted is lost.
func TestTroubleIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.publish(otlp.Logs, "", 10)
		w.looks(1)
		w.q.save = func(string) (error, error) { return queue.ErrUnavailable, nil }
		w.publish(otlp.Logs, "", 10)
		w.looks(3)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 10, Pending: 10})
		w.q.save = nil
		w.looks(1)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 20, Pending: 20})
		for text, times := range map[string]int{"is as old as its last look": 1, "is kept again": 1} {
			if n := strings.Count(w.log.String(), text); n != times {
				t.Errorf("%d times %q, want %d, in\n%s", n, text, times, w.log)
			}
		}
		// What a newer version wrote is left alone.
		for _, key := range []string{keyLetters, keyStream + logs, keyAccount + "all", keyHold} {
			was, err := w.q.Load(t.Context(), key)
			w.ok(err)
			w.keepers[0].drop()
			_, err = w.q.Save(t.Context(), key, []byte(`"?"`), queue.AnyRevision)
			w.ok(err)
			w.log.Reset()
			w.looks(1)
			if !strings.Contains(w.log.String(), "a newer version may have written it") {
				t.Errorf("%s: %s", key, w.log)
			}
			_, err = w.q.Save(t.Context(), key, was.Data, queue.AnyRevision)
			w.ok(err)
			w.looks(1)
		}
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 20, Pending: 20})
		_, err := w.q.Save(t.Context(), keyView, []byte("{"), queue.AnyRevision)
		w.ok(err)
		if _, err := Read(t.Context(), w.q); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("read %v", err)
		}
	})
}

// A stream that lost its end, or that was made anew: what nobody had of it is
// missing, and what comes after is counted as ever.
func TestStreamThatGoesBack(t *testing.T) {
	const stream = "PENSTOCK_TRACES_0"
	f := func(name string, kept int, want Row) {
		synctest.Test(t, func(t *testing.T) {
			w, other := newWorld(t, 1), newWorld(t, 0) // what the stream will be
			a := w.worker("all")
			for i := range 10 {
				w.publish(otlp.Traces, "red", 10)
				if i < kept {
					other.publish(otlp.Traces, "red", 10)
				}
				time.Sleep(time.Millisecond)
			}
			w.looks(1)
			for _, d := range a.take(stream, 4) {
				a.settle(d, fate{}, false)
			}
			w.looks(3)
			w.q.Queue = mixed{w.q.Queue, other.q.Queue}
			if kept == 0 {
				other.publish(otlp.Traces, "red", 10)
			}
			x := &worker{w: other, to: "all"}
			for i, d := range x.take(stream, 10) {
				w.ok(d.Ack())
				if i >= 4 || kept == 0 {
					a.tallies[cell{row{"all", "traces"}, "red"}].Exported += 10
				}
			}
			w.looks(8)
			w.fine(false)
			w.row(want)
			w.ok(w.rec.Forgive(t.Context(), "me"))
			w.looks(2)
			w.fine(true)
			want.Purged, want.Missing = want.Missing, 0
			w.row(want)
			if t.Failed() {
				t.Logf("%s: %+v", name, w.keepers[0].View())
			}
		})
	}
	f("lost its end", 7, Row{Signal: "traces", Destination: "all", Accepted: 100, Exported: 70, Missing: 30})
	f("made anew", 0, Row{Signal: "traces", Destination: "all", Accepted: 110, Exported: 50, Missing: 60})
}

// mixed has the values of one queue and the streams of another.
type mixed struct {
	queue.Queue
	streams queue.Queue
}

func (m mixed) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	return m.streams.StreamState(ctx, stream)
}

func (m mixed) ConsumerState(ctx context.Context, stream, consumer string) (queue.ConsumerState, error) {
	return m.streams.ConsumerState(ctx, stream, consumer)
}

func (m mixed) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	return m.streams.Browse(ctx, stream, o)
}

// A configured destination without its durable, and one that was never made.
func TestRequiredDurables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.looks(1)
		w.fine(true)
		w.keepers[0].o.Plan.Destinations = append(slices.Clone(w.plan.Destinations), topology.Destination{Name: "new", Signals: []otlp.Signal{otlp.Logs}})
		w.keepers[0].drop()
		w.looks(1)
		w.fine(false)
		if l := w.keepers[0].View(); len(l.Problems) != 1 || !strings.Contains(l.Problems[0], "destination new is configured and has no durable on stream "+logs) {
			t.Errorf("problems %q", l.Problems)
		}
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		x := w.worker("all")
		x.p.Gateway = &fleet.Gateway{Accepted: map[string]uint64{"logs": 100}, Duplicates: map[string]uint64{"logs": 3},
			Refused: map[string]map[string]uint64{"logs": {"queue_full": 7, "malformed": 2}}}
		f := func(answered uint64) {
			t.Helper()
			l, err := Read(t.Context(), w.q)
			if err != nil || len(l.Refused) != 3 || l.Refused[2].Answered != answered || l.Refused[2].Refused != 9*answered/100 || l.Refused[2].Duplicates != 3*answered/100 ||
				l.Refused[2].Reasons["queue_full"] != 7*answered/100 {
				t.Errorf("refused %+v, %v", l.Refused, err)
			}
		}
		w.looks(1)
		f(100)
		y := w.worker("logs")
		y.p.Gateway = x.p.Gateway
		w.looks(1)
		f(200)
		x.gone(true)
		w.looks(1)
		f(200)
		time.Sleep(keepStopped + time.Minute) // x is folded
		w.looks(3)
		f(200)
		if all, err := fleet.Seen(t.Context(), w.q, time.Now()); err != nil || len(all) != 1 {
			t.Errorf("seen %+v, %v", all, err)
		}
	})
}

// Only so many that ended are kept to be seen, and their items are in the sums.
func TestManyThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.looks(1)
		for range 3 * keepEnded / 2 {
			w.publish(otlp.Traces, "", 2)
			x := w.worker("all")
			x.drain("PENSTOCK_TRACES_0")
			x.gone(true)
		}
		w.looks(8)
		w.row(Row{Signal: "traces", Destination: "all", Accepted: 300, Exported: 300})
		if all, err := fleet.Seen(t.Context(), w.q, time.Now()); err != nil || len(all) != keepEnded {
			t.Errorf("%d are seen, %v; want %d", len(all), err, keepEnded)
		}
	})
}

// A ledger that begins on a queue in use is answerable for what comes.
func TestBeginsOnAUsedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		before := w.worker("all")
		for range 10 {
			w.publish(otlp.Traces, "", 10)
		}
		for i, d := range before.take("PENSTOCK_TRACES_0", 6) {
			before.settle(d, fate{dead: 10 * (i % 2)}, false)
		}
		before.gone(false)
		x := w.worker("all")
		time.Sleep(time.Minute)
		w.looks(1)
		w.row(Row{Signal: "traces", Destination: "all", Accepted: 40, Pending: 40})
		x.drain("PENSTOCK_TRACES_0")
		w.looks(8)
		w.row(Row{Signal: "traces", Destination: "all", Accepted: 40, Exported: 40})
		w.fine(true)
		_, err := deadletter.Purge(t.Context(), w.q, topology.DeadLetters, deadletter.Filter{}, false, w.rec, nil)
		w.ok(err)
		w.looks(8)
		w.fine(true)
	})
}

// One that begins a moment after the first messages has all of them.
func TestBeginsWithTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		x := w.worker("all")
		w.publish(otlp.Traces, "", 10)
		w.publish(otlp.Traces, "", 10)
		d := x.take("PENSTOCK_TRACES_0", 2)
		x.settle(d[0], fate{dead: 10}, false)
		x.settle(d[1], fate{}, false)
		w.looks(8)
		w.row(Row{Signal: "traces", Destination: "all", Accepted: 20, Exported: 10, DeadLettered: 10})
		w.fine(true)
	})
}

// A word that a destination is given up, which is not done, is forgotten.
func TestDropThatIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.publish(otlp.Logs, "", 10)
		w.looks(1)
		w.ok(w.rec.Drop(t.Context(), "logs", "me"))
		time.Sleep(dropPatience)
		w.looks(2)
		w.ok(w.q.RemoveConsumer(t.Context(), logs, "export-logs"))
		w.looks(1)
		w.fine(false)
		w.row(Row{Signal: "logs", Destination: "logs", Accepted: 10, Pending: 10})
	})
}

func TestRecorderErrors(t *testing.T) {
	w := newWorld(t, 1)
	w.q.save = func(string) (error, error) { return queue.ErrUnavailable, nil }
	letters := []deadletter.Purged{{ID: "a", Letter: deadletter.Info{Sequence: 1}}}
	for name, err := range map[string]error{
		"record 1 dead letters as purged: ":       w.rec.Purged(t.Context(), letters),
		"record 1 dead letters as redriven: ":     w.rec.Redriven(t.Context(), []Redriven{{Letter: letters[0].Letter}}),
		"record that destination x is given up: ": w.rec.Drop(t.Context(), "x", "me"),
		"record that missing data is known of: ":  w.rec.Forgive(t.Context(), "me"),
		"record the purge of stream S up to 7: ":  w.rec.Purging(t.Context(), "S", 7),
	} {
		if !errors.Is(err, queue.ErrUnavailable) || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("got %v, want %s…", err, name)
		}
	}
	if err := w.rec.Purged(t.Context(), nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

func TestViewFits(t *testing.T) {
	var l Ledger
	for i := range 3000 {
		l.Tenants = append(l.Tenants, Tenant{Tenant: strings.Repeat("x", 100), Accepted: uint64(i)})
	}
	got := fitView(l)
	if len(got.Tenants) == 0 || len(got.Tenants)+got.TenantsLeftOut != 3000 {
		t.Errorf("%d tenants, %d left out", len(got.Tenants), got.TenantsLeftOut)
	}
}

// broken is a queue of which one call fails.
type broken struct {
	queue.Queue
	verb string
}

func (q broken) fails(verb, on string) error {
	if q.verb == verb || q.verb == verb+" "+on {
		return fmt.Errorf("no luck: %w", queue.ErrUnavailable)
	}
	return nil
}

func (q broken) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if err := q.fails("lease", name); err != nil {
		return false, err
	}
	return q.Queue.Lease(ctx, name, holder, ttl)
}

func (q broken) List(ctx context.Context, prefix string) ([]queue.Value, error) {
	if err := q.fails("list", prefix); err != nil {
		return nil, err
	}
	return q.Queue.List(ctx, prefix)
}

func (q broken) Load(ctx context.Context, key string) (queue.Value, error) {
	if err := q.fails("load", key); err != nil {
		return queue.Value{}, err
	}
	return q.Queue.Load(ctx, key)
}

func (q broken) Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	if err := q.fails("save", key); err != nil {
		return 0, err
	}
	return q.Queue.Save(ctx, key, data, revision)
}

func (q broken) Remove(ctx context.Context, key string, revision uint64) error {
	if err := q.fails("remove", key); err != nil {
		return err
	}
	return q.Queue.Remove(ctx, key, revision)
}

func (q broken) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	if err := q.fails("stream", stream); err != nil {
		return queue.StreamState{}, err
	}
	return q.Queue.StreamState(ctx, stream)
}

func (q broken) ConsumerState(ctx context.Context, stream, consumer string) (queue.ConsumerState, error) {
	if err := q.fails("consumer", consumer); err != nil {
		return queue.ConsumerState{}, err
	}
	return q.Queue.ConsumerState(ctx, stream, consumer)
}

func (q broken) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	if err := q.fails("browse", stream); err != nil {
		return nil, err
	}
	b, err := q.Queue.Browse(ctx, stream, o)
	return brokenReader{b, q.fails("next", stream)}, err
}

type brokenReader struct {
	queue.Browser
	err error
}

func (b brokenReader) Next(ctx context.Context) (queue.Entry, error) {
	if b.err != nil {
		return queue.Entry{}, b.err
	}
	return b.Browser.Next(ctx)
}

// Whatever fails, in whatever place, leaves the ledger as it was, and the look
// after that one makes up for it.
func TestAnyCallMayFail(t *testing.T) {
	for _, verb := range []string{"lease", "list process/", "list " + keyAccount, "list " + keyStream, "list " + keyNote, "list " + keyDrop,
		"load " + keyLetters, "load " + keyGate, "load " + keyLooks, "load " + keyHold, "load " + keyView, "load " + keyForgive, "load " + keyPurge + logs,
		"save " + keyStream + logs, "save " + keyLetters, "save " + keyAccount + "all", "save " + keyGate, "save " + keyLooks, "save " + keyHold, "save " + keyView,
		"remove", "stream " + logs, "stream " + topology.DeadLetters, "consumer export-all", "browse " + logs, "next " + logs, "browse " + topology.DeadLetters, "next " + topology.DeadLetters} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				a := w.worker("all")
				a.p.Gateway = &fleet.Gateway{Accepted: map[string]uint64{"logs": 1}}
				w.looks(1)
				for range 4 {
					w.publish(otlp.Logs, "", 10)
				}
				for i, d := range a.take(logs, 4) {
					a.settle(d, fate{dead: min(5*i, 10)}, false)
				}
				w.worker("logs").drain(logs)
				a.gone(true)
				w.looks(8)
				time.Sleep(keepStopped)
				good := w.q.Queue
				infos, _, err := deadletter.List(t.Context(), w.q, topology.DeadLetters, deadletter.Filter{}, 1, 0)
				w.ok(err)
				w.ok(w.rec.Redriven(t.Context(), []Redriven{{infos[0], 5}}))
				w.ok(w.q.RemoveMessage(t.Context(), topology.DeadLetters, infos[0].Sequence))
				w.ok(w.rec.Purging(t.Context(), logs, 2))
				w.ok(w.q.Purge(t.Context(), logs, 2))
				w.ok(w.rec.Drop(t.Context(), "nobody", "me"))
				w.ok(w.rec.Forgive(t.Context(), "me")) // there is nothing
				w.publish(otlp.Logs, "", 10)
				w.keepers[0].drop()
				w.q.Queue = broken{good, verb}
				w.log.Reset()
				w.keepers[0].round(t.Context())
				if !strings.Contains(w.log.String(), "no luck") && !strings.HasPrefix(verb, "next") {
					t.Errorf("not said: %s", w.log)
				}
				w.q.Queue = good
				w.looks(2)
				time.Sleep(keepStopped)
				w.looks(10)
				w.row(Row{Signal: "logs", Destination: "all", Accepted: 50, Pending: 10, Exported: 15, DeadLettered: 20, Redriven: 5})
				w.fine(true)
				if all, err := fleet.Seen(t.Context(), w.q, time.Now()); err != nil || len(all) != 1 {
					t.Errorf("seen %+v, %v", all, err)
				}
			})
		})
	}
}
