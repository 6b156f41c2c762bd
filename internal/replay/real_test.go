package replay_test

import (
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
)

// On a real queue: a window with exact ends, cut off and resumed, beside live
// data, and a redrive.
func TestOnJetStream(t *testing.T) {
	r := rigOn(t, realQueue(t))
	before := r.fill(20)
	time.Sleep(5 * time.Millisecond)
	t0 := time.Now()
	ids := r.fill(300)
	_, at, err := r.q.Get(t.Context(), stream, 321-1) // the last of them
	r.must(err)
	r.fill(5)
	s := replay.Spec{Destination: "a", Signals: logsOnly, From: t0, To: at.Add(1), Unlimited: true}
	p, err := replay.MakePlan(t.Context(), r.q, r.plan, s)
	r.must(err)
	if p.Match.Messages != 300 || p.Streams[0].First != 21 || p.Streams[0].End != 321 || p.HeldBytes == 0 {
		t.Fatalf("got %+v", p)
	}
	_, exact, err := r.q.Get(t.Context(), stream, 21)
	r.must(err)
	s.From = exact
	if p, err = replay.MakePlan(t.Context(), r.q, r.plan, s); err != nil || p.Match.Messages != 300 {
		t.Errorf("from exactly its first message the window has %+v (%v)", p.Match, err)
	}
	s.To = at
	if p, err = replay.MakePlan(t.Context(), r.q, r.plan, s); err != nil || p.Match.Messages != 299 {
		t.Errorf("up to exactly its last message the window has %+v (%v)", p.Match, err)
	}
	s.To = at.Add(1)

	r.a.delay = 10 * time.Millisecond
	one := r.start()
	id := r.replay(s)
	for len(r.a.ids()) < 50 {
		time.Sleep(5 * time.Millisecond)
	}
	one.stop()
	r.fill(5)
	if j := r.get(id); j.Phase != job.PhasePending || j.Progress.Done.Messages == 0 {
		t.Fatalf("stopped in the middle: %+v", j)
	}
	two := r.start()
	defer two.stop()
	j := r.until(id, job.PhaseDone)
	r.took(r.a, ids)
	if slices.Contains(r.a.ids(), before[0]) || j.Progress.Done.Messages != 300 || j.Progress.Duplicates.Messages != 0 {
		t.Errorf("got %+v", j.Progress)
	}

	letters := r.buries("b", 30)
	r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
	r.took(r.b, letters)
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d letters are left", n)
	}
}
