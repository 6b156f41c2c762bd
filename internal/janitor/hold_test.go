package janitor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/topology"
)

// hold makes the janitor of a rig ask f.
func (r *rig) hold(f func() (map[string]uint64, error)) {
	r.j.o.Holds = HeldBy("job r1", func(context.Context) (map[string]uint64, error) { return f() })
}

func noWindow(c *Config) { c.ReplayWindow = 0 }

// What a replay still needs is kept, for whatever reason it would go.
func TestHoldKeepsWhatEverybodyHas(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"window":   noWindow,
		"bytes":    func(c *Config) { c.ReplayBytes = 1 },
		"pressure": func(*Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, edit)
			from := uint64(11)
			r.hold(func() (map[string]uint64, error) { return map[string]uint64{logs: from}, nil })
			r.put(95)
			r.take("all", 95)
			r.take("logs", 95)
			r.round(11, 95)
			r.logged("held for another reader", 1)
			r.metric("held " + logs + " 1")
			s := r.stream()
			if s.Floor != 95 || s.HeldBy != "job r1" || s.Hold == nil || s.Hold.From != 11 {
				t.Errorf("tells %+v", s)
			}
			from = 0 // the replay needs everything
			r.round(11, 95)
			from = 96
			r.j.round(t.Context())
			if s := r.stream(); s.Hold != nil || s.HeldBy == "job r1" {
				t.Errorf("after the replay passed: %+v", s)
			}
			r.metric("held " + logs + " 0")
			if st, err := r.q.Queue.StreamState(t.Context(), logs); err != nil || st.FirstSeq <= 11 {
				t.Errorf("the stream begins at %d (%v) after the replay passed", st.FirstSeq, err)
			}
		})
	}
}

func (r *rig) stream() Stream {
	r.Helper()
	for _, s := range r.j.View().Streams {
		if s.Name == logs {
			return s
		}
	}
	r.Fatalf("no stream %s in %+v", logs, r.j.View())
	return Stream{}
}

// Above the floor a hold keeps nothing that is not kept anyway, and takes nothing.
func TestHoldNeverRaisesTheFloor(t *testing.T) {
	r := newRig(t, noWindow)
	r.hold(func() (map[string]uint64, error) { return map[string]uint64{logs: 90, "OTHER": 1}, nil })
	r.put(20)
	r.take("all", 20)
	r.take("logs", 5)
	r.round(6, 20)
	if s := r.stream(); s.Hold != nil || s.HeldBy != "export-logs" {
		t.Errorf("tells %+v", s)
	}
}

// Nobody knows what is needed: nothing goes, which is said once.
func TestHoldsUnknown(t *testing.T) {
	r := newRig(t, noWindow)
	err := errLuck
	r.hold(func() (map[string]uint64, error) { return nil, err })
	r.put(3)
	r.take("all", 3)
	r.take("logs", 3)
	r.round(1, 3)
	r.round(1, 3)
	r.logged("nothing is purged until it is known", 1)
	r.metric("failures_total 2")
	if v := r.j.View(); !strings.Contains(v.Error, "no luck") || !v.Leader || len(v.Streams) != 3 || !strings.Contains(r.stream().Error, "not purged") {
		t.Errorf("tells %+v", v)
	}
	err = nil
	r.round(4, 3)
	r.logged("it is known again", 1)
	if v := r.j.View(); v.Error != "" {
		t.Errorf("tells %+v", v)
	}
	stop, cancel := context.WithCancel(t.Context())
	r.hold(func() (map[string]uint64, error) { cancel(); return nil, stop.Err() })
	r.put(1)
	r.j.round(stop) // a process that stops has no failure
	r.metric("failures_total 2")
}

// Holds are asked for after the floors: whoever begins to need something before
// has it, whatever the floors let go.
func TestHoldsAreAskedAfterTheFloors(t *testing.T) {
	r := newRig(t, noWindow)
	r.hold(func() (map[string]uint64, error) {
		if n := r.q.calls["consumer"]; n == 0 {
			t.Error("holds are asked before the durables")
		}
		if n := r.q.calls["purge"]; n != 0 {
			t.Error("holds are asked after a purge")
		}
		return nil, nil
	})
	r.put(3)
	r.take("all", 3)
	r.take("logs", 3)
	r.round(4, 3)
}

// Whoever is told of purges is told before, and can prevent them.
func TestBeforePurge(t *testing.T) {
	r := newRig(t, noWindow)
	var told []uint64
	err := errLuck
	r.j.o.BeforePurge = func(_ context.Context, stream string, seq uint64) error {
		told = append(told, seq)
		return err
	}
	r.q.purge = func(string, uint64) {
		if len(told) == 0 {
			t.Error("purged before it was told")
		}
	}
	r.put(3)
	r.round(1, 3)
	if len(told) != 0 {
		t.Errorf("told %v, and nothing was to go", told)
	}
	r.take("all", 3)
	r.take("logs", 2)
	r.round(1, 3)
	if s := r.stream(); !strings.Contains(s.Error, "not purged up to 2: no luck") {
		t.Errorf("tells %+v", s)
	}
	err = nil
	r.round(3, 3)
	if len(told) != 2 || told[1] != 2 {
		t.Errorf("told %v", told)
	}
}

func TestHoldsOf(t *testing.T) {
	f := func(by string, needed map[string]uint64, err error) Holder {
		return HeldBy(by, func(context.Context) (map[string]uint64, error) { return needed, err })
	}
	got, err := HoldsOf(f("a", map[string]uint64{"X": 5, "Y": 2}, nil), f("b", map[string]uint64{"X": 3, "Z": 1}, nil))(t.Context())
	if err != nil || len(got) != 3 || got["X"] != (Hold{3, "b"}) || got["Y"] != (Hold{2, "a"}) || got["Z"] != (Hold{1, "b"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := HoldsOf(f("a", nil, nil), f("b", nil, errLuck))(t.Context()); !errors.Is(err, errLuck) {
		t.Errorf("got %v", err)
	}
}

// Two janitors of which one has a newer word of a replay: what the older lets go
// is what was not needed when it asked.
func TestTwoJanitorsOneHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noWindow)
		needed := map[string]uint64{logs: 3}
		r.hold(func() (map[string]uint64, error) { return needed, nil })
		other := r.another("second", Config{Every: config.Duration(5 * time.Second)}, topology.Plan{Shards: 1}, prometheus.NewRegistry())
		other.o.Holds = r.j.o.Holds
		r.put(10)
		r.take("all", 10)
		r.take("logs", 10)
		r.round(3, 10)
		other.round(t.Context())
		r.holds(3, 10)
		time.Sleep(time.Minute) // the lease of the first is over
		needed[logs] = 7
		other.round(t.Context())
		r.holds(7, 10)
	})
}
