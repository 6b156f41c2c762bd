package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// intruder has the account of the queue and uses it past Penstock.
type intruder struct {
	t  *testing.T
	nc *nats.Conn
	js natsjs.JetStream
}

func newIntruder(t *testing.T, s *embedded.Server) *intruder {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &intruder{t, nc, js}
}

func (x *intruder) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *intruder) stream() natsjs.Stream {
	x.t.Helper()
	s, err := x.js.Stream(x.t.Context(), topology.Audit)
	x.must(err)
	return s
}

func (x *intruder) put(body []byte) {
	x.t.Helper()
	_, err := x.js.Publish(x.t.Context(), "penstock.audit", body)
	x.must(err)
}

// replace makes the stream anew with these bodies; nil leaves a hole.
func (x *intruder) replace(bodies [][]byte) {
	x.t.Helper()
	c := x.stream().CachedInfo().Config
	x.must(x.js.DeleteStream(x.t.Context(), topology.Audit))
	c.DenyDelete = false // of a stream that exists it cannot be taken back
	// A file stream made again at once may find what the deletion has not removed yet.
	c.Storage = natsjs.MemoryStorage
	s, err := x.js.CreateStream(x.t.Context(), c)
	x.must(err)
	for i, b := range bodies {
		if b != nil {
			x.put(b)
			continue
		}
		x.put([]byte("to be removed"))
		x.must(s.DeleteMsg(x.t.Context(), uint64(i+1)))
	}
}

// TestTamper: whatever is done to the stream past Penstock is found and named.
func TestTamper(t *testing.T) {
	s, q := serve(t)
	record(t, q, "gateway-a", 10)
	bodies := all(t, q)
	good := whole(t, q, 10)
	if r := verify(t, q, &good.Head); !r.OK || r.Since == nil || *r.Since != good.Head {
		t.Fatalf("%+v", r)
	}
	x := newIntruder(t, s)
	if err := x.stream().DeleteMsg(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "delete") {
		t.Fatalf("an entry can be deleted: %v", err)
	}
	edit := func(body []byte, from, to string) []byte {
		out := strings.Replace(string(body), from, to, 1)
		if out == string(body) {
			t.Fatalf("%s has no %s", body, from)
		}
		return []byte(out)
	}
	f := func(name string, kept *Head, change func(b [][]byte) [][]byte, want ...string) {
		t.Helper()
		x.replace(change(slices.Clone(bodies)))
		r := verify(t, q, kept)
		var got []string
		for _, b := range r.Breaks {
			got = append(got, fmt.Sprintf("%s %d-%d", b.Kind, b.From, b.To))
			if b.Detail == "" {
				t.Errorf("%s: %+v says nothing", name, b)
			}
		}
		if !slices.Equal(got, want) || r.OK != (len(want) == 0) {
			t.Errorf("%s: %q, ok %t; want %q", name, got, r.OK, want)
		}
	}
	same := func(b [][]byte) [][]byte { return b }
	f("copied as it was", &good.Head, same)
	f("one removed", nil, func(b [][]byte) [][]byte { b[4] = nil; return b }, "missing 5-5")
	f("three removed", nil, func(b [][]byte) [][]byte { b[4], b[5], b[6] = nil, nil, nil; return b }, "missing 5-7")
	f("the first removed", nil, func(b [][]byte) [][]byte { b[0] = nil; return b }, "missing 1-1")
	f("the last taken out", nil, func(b [][]byte) [][]byte { b[8], b[9] = nil, nil; return b }, "missing 9-10")
	f("closed up behind one that was removed", nil, func(b [][]byte) [][]byte { return slices.Delete(b, 4, 5) },
		"misplaced 5-5", "changed 4-5", "misplaced 6-6", "misplaced 7-7", "misplaced 8-8", "misplaced 9-9")
	f("one changed", nil, func(b [][]byte) [][]byte { b[4] = edit(b[4], "key:ops", "key:eve"); return b }, "changed 5-6")
	f("one byte of white space", nil, func(b [][]byte) [][]byte { b[4] = append(slices.Clone(b[4]), ' '); return b }, "changed 5-6")
	f("one forged", nil, func(b [][]byte) [][]byte { b[4] = []byte("forged"); return b }, "foreign 5-5", "changed 5-6")
	f("two in another order", nil, func(b [][]byte) [][]byte { b[4], b[5] = b[5], b[4]; return b },
		"misplaced 5-5", "changed 4-5", "misplaced 6-6", "changed 5-6", "changed 6-7")
	f("one put in", nil, func(b [][]byte) [][]byte {
		return slices.Insert(b, 4, []byte(`{"n":5,"prev":"`+hashOf(b[3])+`","event":{}}`))
	},
		"misplaced 6-6", "changed 5-6", "misplaced 7-7", "misplaced 8-8", "misplaced 9-9", "misplaced 10-10", "misplaced 11-11")
	f("one twice", nil, func(b [][]byte) [][]byte { return append(b, b[9]) }, "misplaced 11-11", "changed 10-11")
	f("removed, with a note that it was purged", nil, func(b [][]byte) [][]byte {
		b[4] = nil
		e := Entry{N: 11, Prev: hashOf(b[9]), Purged: &Head{N: 5, Hash: hashOf(bodies[4])}}
		note, err := e.encode()
		x.must(err)
		return append(b, note)
	}, "missing 5-5")

	// What only the head shows, kept elsewhere.
	cut := func(b [][]byte) [][]byte { return b[:7] }
	f("the end cut off", nil, cut)
	f("the end cut off", &good.Head, cut, "cut 8-10")
	last := func(b [][]byte) [][]byte { b[9] = edit(b[9], "key:ops", "key:eve"); return b }
	f("the last changed", nil, last)
	f("the last changed", &good.Head, last, "rewritten 10-10")
	anew := func(b [][]byte) [][]byte {
		prev := genesis
		for i := range b {
			var e Entry
			x.must(json.Unmarshal(b[i], &e))
			e.Prev, e.Event.Subject = prev, "key:eve"
			var err error
			b[i], err = e.encode()
			x.must(err)
			prev = hashOf(b[i])
		}
		return b
	}
	f("all written anew", nil, anew)
	f("all written anew", &good.Head, anew, "rewritten 10-10")
	f("emptied and made anew", &good.Head, func([][]byte) [][]byte { return nil }, "cut 1-10")
	x.must(x.js.DeleteStream(t.Context(), topology.Audit))
	if r := verify(t, q, nil); !r.OK || r.Entries != 0 {
		t.Errorf("no stream: %+v", r)
	}
	if r := verify(t, q, &good.Head); r.OK || len(r.Breaks) != 1 || r.Breaks[0].Kind != BreakCut {
		t.Errorf("the stream deleted: %+v", r)
	}
}

// TestPurgedPast: what is purged past Penstock is missed, also all of it.
func TestPurgedPast(t *testing.T) {
	s, q := serve(t)
	record(t, q, "gateway-a", 10)
	x := newIntruder(t, s)
	x.must(x.stream().Purge(t.Context(), natsjs.WithPurgeSequence(5)))
	if r := verify(t, q, nil); r.OK || len(r.Breaks) != 1 || r.Breaks[0].Kind != BreakMissing || r.Breaks[0].From != 1 || r.Breaks[0].To != 4 || r.First != 5 || r.Entries != 6 {
		t.Fatalf("%+v", r)
	}
	x.must(x.stream().Purge(t.Context()))
	if r := verify(t, q, nil); r.OK || len(r.Breaks) != 1 || r.Breaks[0].To != 10 || r.Entries != 0 {
		t.Fatalf("%+v", r)
	}
	record(t, q, "gateway-b", 3)
	r := verify(t, q, &Head{N: 7, Hash: genesis})
	if r.OK || len(r.Breaks) != 1 || r.Breaks[0].To != 10 || r.Entries != 3 || r.Unproved == "" {
		t.Fatalf("%+v", r)
	}
}

// TestForgedWhileWriting: what another program puts at the end is found, and
// disturbs nobody who writes.
func TestForgedWhileWriting(t *testing.T) {
	s, q := serve(t)
	x := newIntruder(t, s)
	r := newRig(t, "gateway-a")
	r.Start(q)
	for range 20 {
		r.Record(Event{Action: "before", Outcome: Done})
	}
	for r.Head().N < 20 {
		time.Sleep(time.Millisecond)
	}
	x.put([]byte("\x1b]0;owned\x07"))
	for range 20 {
		r.Record(Event{Action: "after", Outcome: Done})
	}
	r.stop(t)
	rep := verify(t, q, nil)
	if rep.OK || len(rep.Breaks) != 1 || rep.Breaks[0].Kind != BreakForeign || rep.Breaks[0].From != 21 || rep.Entries != 41 {
		t.Fatalf("%+v", rep)
	}
	items, _, err := List(t.Context(), q, Filter{}, 20, 1, false)
	if err != nil || len(items) != 1 || items[0].Problem == "" || strings.ContainsAny(items[0].Problem, "\x1b\x07") {
		t.Fatalf("%+v, %v", items, err)
	}
}

// TestSomebodyCutTheChain: a process that has seen more than there is says so, and
// goes on.
func TestSomebodyCutTheChain(t *testing.T) {
	s, q := serve(t)
	x := newIntruder(t, s)
	r := newRig(t, "gateway-a")
	r.Start(q)
	wait := func(n uint64) {
		t.Helper()
		r.Record(Event{Action: "a", Outcome: Done})
		for r.Head().N != n {
			time.Sleep(time.Millisecond)
		}
	}
	wait(1)
	wait(2)
	x.replace(nil)
	wait(1)
	r.stop(t)
	if testutil.ToFloat64(r.metrics.breaks) != 1 || !r.lines.has("the audit chain was cut or rewritten") {
		t.Errorf("it is not told: %s", r.lines.b.String())
	}
	whole(t, q, 1)
}

// TestManyBreaks: a chain that is nothing but damage is told in bounds.
func TestManyBreaks(t *testing.T) {
	s, q := serve(t)
	record(t, q, "p", 1)
	x := newIntruder(t, s)
	var bodies [][]byte
	for i := range 3 * maxBreaks {
		b := []byte("junk")
		if i%2 == 1 {
			b = nil
		}
		bodies = append(bodies, b)
	}
	x.replace(bodies)
	r := verify(t, q, nil)
	if r.OK || len(r.Breaks) != maxBreaks || len(r.Breaks)+r.More != len(bodies) {
		t.Fatalf("%d breaks and %d more, want %d", len(r.Breaks), r.More, len(bodies))
	}
}
