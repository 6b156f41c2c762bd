package replay_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/janitor"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
)

// Everything is exported and out of the window, so that the janitor purges all;
// but not what a replay has yet to read, from before its window is resolved until
// it is over.
func TestTheJanitorLeavesWhatAReplayNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(200)
		r.drain()
		c := janitor.DefaultConfig()
		c.ReplayWindow = config.Duration(time.Second)
		run, stop := janitorOf(t, r, c)
		defer stop()
		r.a.delay = 100 * time.Millisecond
		id := r.replay(replay.Spec{}) // nobody runs it yet
		run()
		time.Sleep(time.Minute)
		if st, err := r.q.StreamState(t.Context(), stream); err != nil || st.FirstSeq != 1 {
			t.Fatalf("a job that waits lost what it holds: %+v (%v)", st, err)
		}
		p := r.start()
		defer p.stop()
		time.Sleep(6 * time.Second)
		st, err := r.q.StreamState(t.Context(), stream)
		r.must(err)
		if st.FirstSeq == 1 || st.FirstSeq > r.get(id).Hold[stream] {
			t.Errorf("in the middle the stream begins at %d, and the job holds %v", st.FirstSeq, r.get(id).Hold)
		}
		j := r.until(id, job.PhaseDone)
		r.took(r.a, ids)
		if j.Progress.Missing.Messages != 0 {
			t.Errorf("got %+v", j.Progress)
		}
		time.Sleep(time.Minute)
		if st, err := r.q.StreamState(t.Context(), stream); err != nil || st.Messages != 0 {
			t.Errorf("after its end the job holds on: %+v (%v)", st, err)
		}
	})
}

// drain settles everything for the destination of the plan.
func (r *rig) drain() {
	r.t.Helper()
	st, err := r.q.StreamState(r.t.Context(), stream)
	r.must(err)
	c, err := r.q.Consume(r.t.Context(), stream, "export-a", consumeAll)
	r.must(err)
	for range st.Messages {
		d, err := c.Next(r.t.Context())
		r.must(err)
		r.must(d.AckSync(r.t.Context()))
	}
	r.must(c.Close())
}

// janitorOf is a janitor that jobs hold, started by run.
func janitorOf(t *testing.T, r *rig, c janitor.Config) (run, stop func()) {
	t.Helper()
	j := janitor.New(janitor.Options{Config: c, Queue: r.q, Plan: r.plan, Holder: "janitor", Holds: janitor.HeldBy("a replay", r.jobs.Holds),
		Metrics: janitor.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	return background(t, j.Run)
}
