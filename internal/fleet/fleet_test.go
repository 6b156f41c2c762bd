package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store fails what it is told to.
type store struct {
	queue.Store
	mu   sync.Mutex
	fail error // of a save, before it is done
	lose error // of a save, after it is done
}

func (s *store) set(fail, lose error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.lose = fail, lose
}

func (s *store) Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	fail, lose := s.fail, s.lose
	s.mu.Unlock()
	if fail != nil {
		return 0, fail
	}
	rev, err := s.Store.Save(ctx, key, data, revision)
	return rev, errors.Join(err, lose)
}

// process counts what it exported.
type process struct {
	mu       sync.Mutex
	exported uint64
	tenants  int
	pools    int
}

func (p *process) add(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exported += n
}

func (p *process) tell() fleet.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := fleet.Process{ID: "worker-host-1", Role: fleet.RoleWorker, Host: "host", StartedAt: time.Now(), Ready: true,
		Gateway: &fleet.Gateway{Accepted: map[string]uint64{"logs": p.exported}, Refused: map[string]map[string]uint64{"logs": {"queue_full": p.exported}}}}
	for i := range 1 + p.tenants {
		out.Tallies = append(out.Tallies, fleet.Tally{Destination: "backend", Signal: "logs", Tenant: fmt.Sprintf("%0200d", i), Exported: p.exported})
	}
	for i := range p.pools {
		out.Destinations = append(out.Destinations, fleet.Destination{Name: fmt.Sprint(i), Pool: &fleet.Pool{Open: 3, Endpoints: []fleet.Peer{{Address: strings.Repeat("x", 500)}}}})
	}
	return out
}

func seen(t *testing.T, look func() ([]fleet.Sighting, error)) map[string]fleet.Sighting {
	t.Helper()
	all, err := look()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]fleet.Sighting{}
	for _, s := range all {
		m[s.ID] = s
	}
	return m
}

func TestAProcessIsSeenUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		p := &process{}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- fleet.Keep(ctx, q, p.tell, slog.New(slog.DiscardHandler)) }()
		synctest.Wait()
		eye := fleet.NewEye(q)
		f := func(state fleet.State, exported uint64, age float64) {
			t.Helper()
			s, ok := seen(t, func() ([]fleet.Sighting, error) { return eye.Look(t.Context()) })["worker-host-1"]
			if !ok || s.State != state || s.Tallies[0].Exported != exported || s.Age != age || s.Host != "host" {
				t.Errorf("seen %+v, want %s with %d after %g s", s, state, exported, age)
			}
		}
		f(fleet.Alive, 0, 0)
		p.add(10)
		time.Sleep(fleet.Every - 1)
		f(fleet.Alive, 0, (fleet.Every - 1).Seconds())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		f(fleet.Alive, 10, 0)
		p.add(5)
		time.Sleep(time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		f(fleet.Stopped, 15, 0)
		time.Sleep(time.Hour)
		f(fleet.Stopped, 15, 3600)
	})
}

// Who says nothing is late, then gone, whatever its clock says.
func TestAKilledProcessIsGone(t *testing.T) {
	for _, skew := range []time.Duration{0, -time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			q := memory.New()
			tell := func() {
				at := time.Now().Add(skew).UTC().Format(time.RFC3339Nano)
				if _, err := q.Save(t.Context(), "process/a", []byte(`{"id":"a","at":"`+at+`"}`), queue.AnyRevision); err != nil {
					t.Fatal(err)
				}
			}
			eye := fleet.NewEye(q)
			f := func(want fleet.State) {
				t.Helper()
				if s := seen(t, func() ([]fleet.Sighting, error) { return eye.Look(t.Context()) })["a"]; s.State != want {
					t.Errorf("with clocks %s apart it is %s, want %s", skew, s.State, want)
				}
			}
			tell()
			first := fleet.Alive
			if skew < 0 { // by its clock, as nothing else is known
				first = fleet.IsGone
			}
			f(first)
			time.Sleep(fleet.Every)
			tell()
			f(fleet.Alive)
			time.Sleep(fleet.Late - 1)
			f(fleet.Alive)
			time.Sleep(time.Nanosecond)
			f(fleet.IsLate)
			time.Sleep(fleet.Gone - fleet.Late)
			f(fleet.IsGone)
			tell() // it was cut off
			f(fleet.Alive)
		})
	}
}

// One who has not watched allows for clocks that differ.
func TestSeenOnce(t *testing.T) {
	q := memory.New()
	now := time.Now()
	for id, age := range map[string]time.Duration{"now": 0, "ahead": -time.Hour, "skewed": fleet.Skew + fleet.Late - 1, "late": fleet.Skew + fleet.Late, "gone": fleet.Skew + fleet.Gone} {
		if _, err := q.Save(t.Context(), "process/"+id, []byte(`{"at":"`+now.Add(-age).UTC().Format(time.RFC3339Nano)+`"}`), 0); err != nil {
			t.Fatal(err)
		}
	}
	all := seen(t, func() ([]fleet.Sighting, error) { return fleet.Seen(t.Context(), q, now) })
	for id, want := range map[string]fleet.State{"now": fleet.Alive, "ahead": fleet.Alive, "skewed": fleet.Alive, "late": fleet.IsLate, "gone": fleet.IsGone} {
		if s := all[id]; s.State != want || s.Age < 0 {
			t.Errorf("%s is %s after %g s, want %s", id, s.State, s.Age, want)
		}
	}
}

// What cannot be read hides nobody else.
func TestUnreadable(t *testing.T) {
	q := memory.New()
	for key, data := range map[string]string{"process/a": `{"id":"x"}`, "process/b": "{", "other/c": "{}"} {
		if _, err := q.Save(t.Context(), key, []byte(data), 0); err != nil {
			t.Fatal(err)
		}
	}
	all, err := fleet.NewEye(q).Look(t.Context())
	if len(all) != 1 || all[0].ID != "a" || err == nil || !strings.HasPrefix(err.Error(), "read process process/b: ") {
		t.Errorf("%+v, %v", all, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.NewEye(q).Look(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Trouble is said once and waited out; a lost answer changes nothing.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		s := &store{Store: q}
		p := &process{}
		var log bytes.Buffer
		s.set(queue.ErrUnavailable, nil)
		k := fleet.Start(t.Context(), s, p.tell, slog.New(slog.NewTextHandler(&log, nil)))
		time.Sleep(3 * fleet.Every)
		synctest.Wait()
		if all := seen(t, func() ([]fleet.Sighting, error) { return fleet.Seen(t.Context(), q, time.Now()) }); len(all) != 0 {
			t.Errorf("seen %+v", all)
		}
		s.set(nil, queue.ErrUnavailable) // stored, and nobody heard it
		p.add(1)
		time.Sleep(3 * fleet.Every)
		synctest.Wait()
		s.set(nil, nil)
		p.add(1)
		time.Sleep(fleet.Every)
		synctest.Wait()
		for range 2 {
			if err := k.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		all := seen(t, func() ([]fleet.Sighting, error) { return fleet.Seen(t.Context(), q, time.Now()) })
		if got := all["worker-host-1"]; len(all) != 1 || got.Tallies[0].Exported != 2 || got.State != fleet.Stopped || got.Ready {
			t.Errorf("seen %+v", all)
		}
		for text, times := range map[string]int{"cannot tell the others": 1, "is seen by the others again": 1, "another name": 0} {
			if n := strings.Count(log.String(), text); n != times {
				t.Errorf("%d times %q, want %d, in\n%s", n, text, times, &log)
			}
		}
	})
}

// A process that was forgotten while it lived tells only of what came after, under
// another id: what it had told is in somebody's totals.
func TestForgottenWhileAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		p := &process{}
		p.add(10)
		k := fleet.Start(t.Context(), q, p.tell, slog.New(slog.DiscardHandler))
		for n := range 2 { // twice in its life
			for id, s := range seen(t, func() ([]fleet.Sighting, error) { return fleet.Seen(t.Context(), q, time.Now()) }) {
				if want := []uint64{10, 7}[n]; s.Tallies[0].Exported != want || s.Gateway.Accepted["logs"] != want || s.Gateway.Refused["logs"]["queue_full"] != want {
					t.Errorf("%s told %+v, want %d", id, s.Process, want)
				}
				old := s
				old.Revision--
				if err := fleet.Forget(t.Context(), q, old); !errors.Is(err, queue.ErrConflict) {
					t.Errorf("forgot what it had not read: %v", err)
				}
				if err := fleet.Forget(t.Context(), q, s); err != nil {
					t.Fatal(err)
				}
			}
			p.add(7)
			time.Sleep(fleet.Every)
			synctest.Wait()
		}
		if err := k.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := seen(t, func() ([]fleet.Sighting, error) { return fleet.Seen(t.Context(), q, time.Now()) })
		for id, s := range all {
			if id == "worker-host-1" || !strings.HasPrefix(id, "worker-host-") || s.Tallies[0].Exported != 7 || s.State != fleet.Stopped {
				t.Errorf("%s: %+v", id, s)
			}
		}
		if len(all) != 1 {
			t.Errorf("seen %+v", all)
		}
	})
}

// What is too much is told in less, and no item is left out.
func TestLargeProcess(t *testing.T) {
	f := func(tenants, pools, wantTallies int, wantEndpoints bool) {
		t.Helper()
		q := memory.New()
		p := &process{tenants: tenants, pools: pools}
		p.add(3)
		k := fleet.Start(t.Context(), q, p.tell, slog.New(slog.DiscardHandler))
		if err := k.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := seen(t, func() ([]fleet.Sighting, error) { return fleet.Seen(t.Context(), q, time.Now()) })["worker-host-1"]
		sum := uint64(0)
		for _, x := range s.Tallies {
			sum += x.Exported
		}
		if len(s.Tallies) != wantTallies || sum != uint64(3*(tenants+1)) || (len(s.Destinations[0].Pool.Endpoints) > 0) != wantEndpoints {
			t.Errorf("%d tenants, %d pools: %d tallies of %d, endpoints %t", tenants, pools, len(s.Tallies), sum, len(s.Destinations[0].Pool.Endpoints) > 0)
		}
	}
	f(10, 10, 11, true)
	f(10, 200, 11, false)
	f(1000, 1, 1, false)
	q := memory.New()
	k := fleet.Start(t.Context(), q, func() fleet.Process {
		return fleet.Process{ID: "x", NotReady: strings.Repeat("x", 300<<10)}
	}, slog.New(slog.DiscardHandler))
	if err := k.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "tell of process x") {
		t.Errorf("told %v", err)
	}
}

func TestNewID(t *testing.T) {
	for host, want := range map[string]string{"my.host_ü/1": "worker-my_host___1-", strings.Repeat("h", 300): "worker-" + strings.Repeat("h", 93) + "-"} {
		a, b := fleet.NewID("worker", host), fleet.NewID("worker", host)
		if a == b || !strings.HasPrefix(a, want) || queue.CheckKey("process/"+a) != nil {
			t.Errorf("ids of %s are %s and %s, want %s…", host, a, b, want)
		}
	}
}

func TestOnARealQueue(t *testing.T) {
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	defer func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	p := &process{}
	k := fleet.Start(t.Context(), q, p.tell, slog.New(slog.DiscardHandler))
	eye := fleet.NewEye(q)
	f := func(want fleet.State) fleet.Sighting {
		t.Helper()
		all := seen(t, func() ([]fleet.Sighting, error) { return eye.Look(t.Context()) })
		got := all["worker-host-1"]
		if len(all) != 1 || got.State != want {
			t.Errorf("seen %+v, want it %s", all, want)
		}
		return got
	}
	f(fleet.Alive)
	if err := k.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := fleet.Forget(t.Context(), q, f(fleet.Stopped)); err != nil {
		t.Fatal(err)
	}
	if all := seen(t, func() ([]fleet.Sighting, error) { return eye.Look(t.Context()) }); len(all) != 0 {
		t.Errorf("seen %+v", all)
	}
}
