package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// noise is text of a seed that no compression makes small.
func noise(seed, n int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[r.IntN(64)]
	}
	return string(b)
}

// same wants two replicas to have the same state.
func same(t *testing.T, a, b *replica) {
	t.Helper()
	x, err1 := json.Marshal(a.state.Snapshot())
	y, err2 := json.Marshal(b.state.Snapshot())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(x, y) || a.state.At() != b.state.At() {
		t.Errorf("at %d %.2000s\nat %d %.2000s", a.state.At(), x, b.state.At(), y)
	}
}

// TestASnapshotStandsForWhatWas: who begins reads it, in parts, and what comes behind;
// who reads on goes on.
func TestASnapshotStandsForWhatWas(t *testing.T) {
	for name, q := range map[string]Queue{"memory": memory.New(), "jetstream": func() Queue { _, q := serve(t); return q }()} {
		t.Run(name, func(t *testing.T) {
			r := newReplica(t, q).follow()
			for n := range 10 {
				r.fires(fmt.Sprint("A", n), 50, noise(n, 1000))
			}
			for n := range 200 { // so that it is larger than a part when compressed
				r.do(func() ([]alerts.Event, error) {
					return r.state.Silence(alerts.Silence{Matchers: []string{noise(100+n, 4000)}, Ends: time.Now().Add(time.Hour), By: "ann"}, time.Now())
				})
			}
			before := r.state.At()
			r.tidy(10)
			r.reaches(streamState(t, q).LastSeq)
			r.tidy(10) // there is one
			if parts := r.state.At() - before; parts < 2 {
				t.Errorf("a snapshot of %d parts", parts)
			}
			r.fires("B", 1, "")
			r.counts(map[string]float64{"snapshots": 1})
			other := newReplica(t, q).follow()
			other.reaches(r.state.At())
			same(t, r, other)
			if first := other.entries()[0]; first.Snapshot == nil || first.At <= before || len(first.Snapshot.Alerts) != 500 {
				t.Errorf("the first entry is %d", first.At)
			}
			other.counts(map[string]float64{"gaps": 0, "unreadable": 0})
			// Without the value it is found all the same.
			if err := q.Remove(t.Context(), snapshotKey, queue.AnyRevision); err != nil {
				t.Fatal(err)
			}
			third := newReplica(t, q).follow()
			third.reaches(r.state.At())
			same(t, r, third)
			if first := third.entries()[0]; first.At != 1 {
				t.Errorf("the first entry is %d", first.At)
			}
		})
	}
}

// put appends a message as another would.
func put(t *testing.T, q Queue, header map[string]string, body string) uint64 {
	t.Helper()
	m := message("", []byte(body))
	m.Header = header
	r, err := q.PublishNext(t.Context(), topology.Alerts, m, streamState(t, q).LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	return r.Sequence
}

func part(n, of int) map[string]string {
	return map[string]string{headerVersion: version, headerKind: kindSnapshot, headerPart: fmt.Sprintf("%d/%d", n, of), headerCodec: snapshotCodec}
}

// TestManyParts: a snapshot is cut wherever it has to be, and put together from parts
// that follow each other.
func TestManyParts(t *testing.T) {
	var snap alerts.Snapshot
	for n := range 900 {
		snap.Silences = append(snap.Silences, alerts.Silence{ID: fmt.Sprint(n), Matchers: []string{noise(n, 4000)}})
	}
	parts, err := encodeSnapshot(snap)
	if err != nil || len(parts) < 4 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	read := func(headers []map[string]string, gapAt int) *alerts.Snapshot {
		var c collector
		at := uint64(10)
		for n, h := range headers {
			if at++; n == gapAt {
				at++
			}
			if whole, is := c.add(&queue.Message{Header: h, Body: parts[min(n, len(parts)-1)]}, at); whole != nil {
				got, err := decodeSnapshot(snapshotCodec, whole)
				if err != nil || !is {
					t.Fatal(err)
				}
				return got
			}
		}
		return nil
	}
	var headers []map[string]string
	for n := range parts {
		headers = append(headers, part(n+1, len(parts)))
	}
	if got := read(headers, -1); !reflect.DeepEqual(*got, snap) {
		t.Error("it is another")
	}
	if read(headers, 2) != nil {
		t.Error("with one in between it is whole")
	}
	if read(headers[1:], -1) != nil {
		t.Error("without its first part it is whole")
	}
	if read(slices.Concat(headers[:2], []map[string]string{{headerVersion: version, headerKind: kindEvents}}, headers[2:]), -1) != nil {
		t.Error("with an entry in it it is whole")
	}
	for _, h := range []map[string]string{part(0, 1), part(2, 1), part(1, maxParts+1), part(-1, 1), {headerVersion: "2", headerKind: kindSnapshot, headerPart: "1/1"}, {headerVersion: version, headerKind: kindSnapshot}} {
		if n, _ := partOf(&queue.Message{Header: h}); n != 0 {
			t.Errorf("%v is a part", h)
		}
	}
}

// TestOneThatIsNotWhole, as of a writer that was killed, stops nobody: not those who
// read, append or write the next.
func TestOneThatIsNotWhole(t *testing.T) {
	q := memory.New()
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q).follow()
	r.fires("A", 2, "")
	at := put(t, q, part(1, 3), "the beginning")
	r.reaches(at)
	r.fires("B", 1, "")
	at = put(t, q, part(2, 3), "of another")
	r.reaches(at)
	r.tidy(1)
	r.reaches(streamState(t, q).LastSeq)
	r.fires("C", 1, "")
	put(t, q, part(1, 2), "again")
	other := newReplica(t, q).follow()
	other.reaches(streamState(t, q).LastSeq)
	r.reaches(other.state.At())
	same(t, r, other)
	if n := other.firing(); n != 4 {
		t.Errorf("%d alerts", n)
	}
	other.fires("D", 1, "")
	other.counts(map[string]float64{"unreadable": 0, "gaps": 0})
}

// TestOneThatCannotBeRead: who begins reads what was before it, and who reads on passes
// over it.
func TestOneThatCannotBeRead(t *testing.T) {
	q := memory.New()
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q).follow()
	r.fires("A", 2, "")
	first := put(t, q, part(1, 2), "not")
	at := put(t, q, part(2, 2), "zstd")
	if err := r.name(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	r.reaches(at)
	r.fires("B", 1, "")
	other := newReplica(t, q).follow()
	other.reaches(r.state.At())
	same(t, r, other)
	r.counts(map[string]float64{"unreadable": 1, "gaps": 0})
	other.counts(map[string]float64{"unreadable": 2, "gaps": 0})
	if n := other.lines.count("cannot be read and is passed over"); n != 2 {
		t.Errorf("it is said %d times", n)
	}
}

// TestWhatOthersWrite is passed over, and what can be read of it is.
func TestWhatOthersWrite(t *testing.T) {
	q := memory.New()
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q).follow()
	r.reaches(0)
	events := map[string]string{headerVersion: version, headerKind: kindEvents}
	put(t, q, nil, "x")
	put(t, q, map[string]string{headerVersion: "2", headerKind: kindEvents}, `{"events":[]}`)
	put(t, q, map[string]string{headerVersion: version, headerKind: "merge"}, `{"events":[]}`)
	put(t, q, events, `{"events":`)
	put(t, q, events, `{"events":[5,{"kind":"fired","alert":"a","fired":{"key":"a","rule":"A","labels":{}}},{"kind":"of the future"}],"more":1}`)
	r.reaches(5)
	if r.firing() != 1 {
		t.Error("what could be read was not")
	}
	r.fires("B", 1, "")
	r.counts(map[string]float64{"unreadable": 5, "gaps": 0})
	if err := q.EnsureStream(context.Background(), queue.StreamConfig{Name: topology.Alerts, MaxBytes: topology.AlertsBytes}); err != nil {
		t.Error(err)
	}
}

// TestAValueThatLeadsNowhere is not followed.
func TestAValueThatLeadsNowhere(t *testing.T) {
	for _, text := range []string{"", "0", "-1", "2", "99999", "99999999999999999999999", "x"} {
		q := memory.New()
		defer func() { _ = q.Close() }() // always nil
		r := newReplica(t, q).follow()
		r.fires("A", 2, "")
		r.ticks(1)
		if _, err := q.Save(t.Context(), snapshotKey, []byte(text), queue.AnyRevision); err != nil {
			t.Fatal(err)
		}
		other := newReplica(t, q).follow()
		other.reaches(r.state.At())
		same(t, r, other)
		other.counts(map[string]float64{"gaps": 0})
		r.tidy(1)
		if seq, err := r.last(t.Context()); err != nil || seq != 3 {
			t.Errorf("%q: the snapshot is at %d, %v", text, seq, err)
		}
	}
}
