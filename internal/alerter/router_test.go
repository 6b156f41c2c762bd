package alerter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/deliver"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
	"github.com/penstock-otel/penstock/pkg/alerts/memory"
)

// hook is a webhook receiver.
type hook struct {
	*httptest.Server
	mu      sync.Mutex
	down    bool     // mu
	code    int      // mu; what it answers while it is down; 0: 503
	refused int      // mu; how often
	told    []string // mu; as "firing Hot"
}

func listen(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Alerts []struct {
				Status string            `json:"status"`
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.down {
			h.refused++
			w.WriteHeader(cmp.Or(h.code, http.StatusServiceUnavailable))
			return
		}
		for _, a := range body.Alerts {
			h.told = append(h.told, a.Status+" "+a.Labels["alertname"])
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) heard() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.told)
}

func (h *hook) want(t *testing.T, want ...string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !slices.Equal(h.heard(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the receiver heard %q, want %q", h.heard(), want)
		}
	}
}

func amConfig(t *testing.T, to string) *amnotify.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	text := fmt.Sprintf(`route: {receiver: hook, group_by: [alertname], group_wait: 10ms, group_interval: 100ms, repeat_interval: 4h}
receivers: [{name: hook, webhook_configs: [{url: %q}]}]
`, to)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := amnotify.Load(path, &url.URL{Scheme: "http", Host: "alerter.example"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// routed is a story whose alerts go to a receiver.
type routed struct {
	*story
	router *Router
	end    func()
}

func route(t *testing.T, s *story, claims alerts.Claims, to string) *routed {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	r := &routed{story: s}
	var d *deliver.Deliverer
	ready := make(chan struct{})
	r.router = NewRouter(RouterOptions{Config: amConfig(t, to), State: s.state, Logger: quiet, Look: func(k alerts.ClaimKey) { <-ready; d.Look(k) }})
	d = deliver.New(deliver.Options{Claims: claims, Log: s.log, State: s.state, Group: r.router.Group, Send: r.router.Send,
		Final: func(err error) bool { return errors.Is(err, amnotify.ErrPermanent) }, Rank: func() int { return 0 }, FailOpen: "critical",
		Metrics: deliver.NewMetrics(prometheus.NewRegistry()), Logger: quiet})
	close(ready)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.router.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		r.router.Close()
		stopping, done := context.WithTimeout(context.Background(), time.Minute)
		defer done()
		if err := d.Stop(stopping); err != nil {
			t.Error(err)
		}
		s.end()
	})
	t.Cleanup(r.end)
	return r
}

// From a sample to the receiver, and back: who heard that it fires hears that it has
// ended, over a receiver that is down and a restart of everything.
func TestFromSamplesToAReceiver(t *testing.T) {
	log, claims, h := alertstest.NewLog(), memory.New(), listen(t)
	first := route(t, tell(t, log, at(-time.Minute), at(-time.Minute)), claims, h.URL)
	first.goesOn(at(0), 20, true)
	first.goesOn(at(2*time.Minute), 40, true)
	h.want(t, "firing Hot")
	first.story.goesOn(at(3*time.Minute), 40, true) // nothing new
	first.end()
	second := route(t, tell(t, log, at(-10*time.Minute), at(3*time.Minute)), claims, h.URL)
	second.goesOn(at(0), 20, false)
	second.now = at(0)
	second.goesOn(at(4*time.Minute), 40, true)
	h.mu.Lock()
	h.down = true
	h.mu.Unlock()
	second.goesOn(at(5*time.Minute), 20, true)
	second.end()
	// Nobody of those that begin now saw it fire: the log owes the end.
	h.mu.Lock()
	h.down = false
	h.mu.Unlock()
	third := route(t, tell(t, log, at(6*time.Minute), at(6*time.Minute)), claims, h.URL)
	h.want(t, "firing Hot", "resolved Hot")
	third.router.Load(amConfig(t, h.URL))
	for changed := third.state.Changed(); len(third.state.Owed()) > 0; changed = third.state.Changed() {
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatalf("owed: %v", third.state.Owed())
		}
	}
	h.want(t, "firing Hot", "resolved Hot")
}

// What is silenced is not told, and told when the silence is lifted; its end is told
// to who heard of the beginning alone.
func TestSilenced(t *testing.T) {
	h := listen(t)
	r := route(t, tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute)), memory.New(), h.URL)
	id := r.silence(`alertname="Hot"`)
	r.goesOn(at(0), 20, true)
	r.goesOn(at(2*time.Minute), 40, true)
	r.want("fired Hot 1m15s active 15s")
	r.decide(func() ([]alerts.Event, error) { // of another alert, and no other in it
		for _, s := range r.state.Silences() {
			s.Matchers = []string{`alertname="Cold"`}
			return r.state.Silence(s, time.Now())
		}
		return nil, nil
	})
	h.want(t, "firing Hot")
	r.unsilence(id)
	r.silence(`alertname="Hot"`)
	r.goesOn(at(3*time.Minute), 20, true)
	h.want(t, "firing Hot", "resolved Hot")
}

// A receiver that is busy, or has lost its own database, for many group intervals is
// told once, when it takes something.
func TestABusyReceiver(t *testing.T) {
	for _, code := range []int{http.StatusTooManyRequests, http.StatusInternalServerError} {
		h := listen(t)
		h.down, h.code = true, code
		r := route(t, tell(t, alertstest.NewLog(), at(-time.Minute), at(-time.Minute)), memory.New(), h.URL)
		r.goesOn(at(0), 20, true)
		r.goesOn(at(2*time.Minute), 40, true)
		refusals := func() int { h.mu.Lock(); defer h.mu.Unlock(); return h.refused }
		for end := time.Now().Add(2 * time.Minute); refusals() < 3; time.Sleep(10 * time.Millisecond) { // the group interval is 100 ms, a first wait half a second at least
			if time.Now().After(end) {
				t.Fatalf("%d: asked %d times in two minutes", code, refusals())
			}
		}
		h.mu.Lock()
		h.down = false
		h.mu.Unlock()
		h.want(t, "firing Hot")
		r.goesOn(at(3*time.Minute), 20, true)
		h.want(t, "firing Hot", "resolved Hot")
	}
}

func (r *routed) silence(matcher string) (id string) {
	r.t.Helper()
	r.decide(func() ([]alerts.Event, error) {
		e, err := r.state.Silence(alerts.Silence{Matchers: []string{matcher}, Starts: time.Now(), Ends: time.Now().Add(time.Hour), By: "test"}, time.Now())
		if err == nil {
			id = e[0].Silence.ID
		}
		return e, err
	})
	return id
}

func (r *routed) unsilence(id string) {
	r.t.Helper()
	r.decide(func() ([]alerts.Event, error) { return r.state.Unsilence(id, "test", time.Now()) })
}

func (r *routed) decide(f func() ([]alerts.Event, error)) {
	r.t.Helper()
	pos, err := alerts.Do(r.t.Context(), r.log, r.state, f)
	if err == nil {
		err = r.state.Reached(r.t.Context(), pos)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
