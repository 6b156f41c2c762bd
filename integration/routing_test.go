package integration

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
)

// shelf is a backend for logs over HTTP that knows each record by its number.
type shelf struct {
	*httptest.Server
	mu  sync.Mutex
	got map[int]int // mu
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{got: map[int]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the worker was killed
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, i := range shiptest.Numbers(body) {
			s.got[i]++
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) address() string { return strings.TrimPrefix(s.URL, "http://") }

// lacks are the wanted of n items that have not come, and others those that came
// and are not wanted.
func (s *shelf) compare(n int, wanted func(int) bool) (lacks, others int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		switch {
		case wanted(i) && s.got[i] == 0:
			lacks++
		case !wanted(i) && s.got[i] > 0:
			others++
		}
	}
	return lacks, others
}

// TestRoutesThroughKills: the tenant prod goes to one destination, what is of team
// x to another, and the rest to nobody, while the worker is killed again and again.
// Each gets all of its own and nothing else, and the ledger adds up for both.
func TestRoutesThroughKills(t *testing.T) {
	quickRedelivery(t)
	const requests, each = 300, 60
	tenant := func(i int) string { return []string{"prod", "dev", ""}[i/each%3] }
	team := func(i int) string { return []string{"x", "y", ""}[i/10%3] }
	prod, teamx := newShelf(t), newShelf(t)
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	destinations := harness.Destinations(
		harness.Destination{Name: "prod", Protocol: "http", Endpoint: prod.address(), More: "tenants: [prod]"},
		harness.Destination{Name: "teamx", Protocol: "http", Endpoint: teamx.address(), More: "where: [team=x]"})
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "process", MaxBytes: "2GiB"}, destinations)
	worker := harness.NewWorker(t, harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "process", MaxBytes: "2GiB"}, destinations)
	gateway.Start()
	worker.Start()
	seed := harness.Seed(t)
	r := rand.New(rand.NewPCG(seed, 4))
	for n := range requests {
		post(t, gateway.HTTPAddr, tenant(n*each), shiptest.Teams(n*each, each, team))
		if n%60 == 30 {
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			worker.Kill()
			worker.Start()
		}
	}
	const items = requests * each
	f := func(name string, s *shelf, wanted func(int) bool, want uint64) {
		t.Helper()
		var lacks, others int
		harness.Until(t, 90*time.Second, func() string { return name + " has all of its own" }, func() bool {
			lacks, others = s.compare(items, wanted)
			return lacks == 0
		})
		if others > 0 {
			t.Errorf("seed %d: %s got %d items that it does not want", seed, name, others)
		}
		row := gateway.Ledger(name, items, 120*time.Second)
		t.Logf("%+v", row)
		told := row.Exported + row.Unwanted + row.Uncounted
		if row.Missing != 0 || row.DeadLettered != 0 || told != items+row.CountedTwice || row.Unwanted > items-want+row.CountedTwice || row.Unwanted == 0 {
			t.Errorf("seed %d: %s wants %d of %d items, and the ledger says %+v", seed, name, want, items, row)
		}
	}
	f("prod", prod, func(i int) bool { return tenant(i) == "prod" }, items/3)
	f("teamx", teamx, func(i int) bool { return team(i) == "x" }, items/3)
	var status struct {
		Ledger struct {
			Unrouted []struct {
				Signal string
				Items  uint64
			}
		}
	}
	gateway.Read(&status, "status")
	if u := status.Ledger.Unrouted; len(u) != 1 || u[0].Signal != "logs" || u[0].Items == 0 || u[0].Items > items*2/3 {
		t.Errorf("seed %d: nobody wants %d items, and the ledger says %+v", seed, items*4/9, u)
	}
	worker.Terminate()
	gateway.Terminate()
}

// post sends logs of a tenant until they are accepted.
func post(t *testing.T, addr, tenant string, body []byte) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/logs", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-protobuf")
	if tenant != "" {
		q.Header.Set("X-Scope-OrgID", tenant)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if text, err := io.ReadAll(a.Body); a.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("logs of tenant %q: %s: %s %v", tenant, a.Status, text, err)
	}
}
