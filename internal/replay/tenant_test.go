package replay_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/worker"
)

// TestTenantOfAReplayAndARedrive reaches a real server in the header that the
// destination has for it.
func TestTenantOfAReplayAndARedrive(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got[q.Header.Get("X-Scope-Orgid")+"|"+q.Header.Get("Authorization")]++
	}))
	defer s.Close()
	var d worker.Destination
	d.SetDefaults()
	d.Name, d.Protocol, d.Endpoints, d.TenantHeader = "a", worker.ProtocolHTTP, []string{s.URL}, "X-Scope-OrgID"
	built, err := worker.Build([]worker.Destination{d}, worker.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer built["a"].Close() //nolint:errcheck // always nil
	r := newRig(t)
	r.changes = append(r.changes, func(o *replay.Options) {
		o.Destinations["a"] = replay.Destination{Exporter: built["a"], MaxRequestBytes: int(d.MaxRequestBytes)}
	})
	r.store(group{ids: []string{"1"}, tenant: "acme"})
	r.store(group{ids: []string{"2"}, tenant: "two words"})
	r.store(group{ids: []string{"3"}})
	r.run(replay.Spec{})
	want := func(what string, want map[string]int) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		for k, n := range want {
			if got[k] != n {
				t.Errorf("%s: %d requests of %q, want %d; all: %v", what, got[k], k, n, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
		clear(got)
	}
	want("replay", map[string]int{"acme|": 1, "two%20words|": 1, "|": 1})

	r.bury("a", group{ids: []string{"4"}, tenant: "globex"})
	p := r.start()
	defer p.stop()
	r.until(r.redrive(replay.Redrive{}), job.PhaseDone)
	want("redrive", map[string]int{"globex|": 1})
}
