package ampush_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/alerter/ampush"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
)

// story is a state whose alerts the test lets fire.
type story struct {
	t     *testing.T
	state *alerts.State
	log   *alertstest.Log
	reg   *prometheus.Registry
	leads atomic.Bool

	mu   sync.Mutex
	said bytes.Buffer // mu
}

func (s *story) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(b)
}

func begin(t *testing.T) *story {
	s := &story{t: t, state: alerts.NewState(), log: alertstest.NewLog(), reg: prometheus.NewRegistry()}
	s.leads.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.log.Follow(ctx, 0, func(e alerts.Entry) error { s.state.Apply(e); return nil }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.eventually("the log is read", s.state.CaughtUp)
	return s
}

func (s *story) eventually(what string, f func() bool) {
	s.t.Helper()
	for end := time.Now().Add(90 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("not within 90 s: %s; it said %s", what, s.said.String())
		}
	}
}

// finds tells what the rules found at a time: all that fires, as "NAME job".
func (s *story) finds(tenant string, at time.Time, active ...string) {
	s.t.Helper()
	e := alerts.Evaluation{Tenant: tenant, File: "f", Group: "g", At: at, Evaluated: []string{"A"}}
	for _, job := range active {
		e.Active = append(e.Active, alerts.Finding{Rule: "A", Firing: true, ActiveAt: at, FiredAt: at,
			Labels:      alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "A"}, alerts.Label{Name: "job", Value: job}),
			Annotations: alerts.LabelsOf(alerts.Label{Name: "summary", Value: "hot"})})
	}
	at2, err := alerts.Do(s.t.Context(), s.log, s.state, func() ([]alerts.Event, error) {
		return s.state.Transitions(e, func(string, alerts.Labels) alerts.Policy { return alerts.Policy{} }, time.Now()), nil
	})
	if err == nil {
		err = s.state.Reached(s.t.Context(), at2)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// push runs a pusher until the test ends.
func (s *story) push(every time.Duration, targets ...alerting.Alertmanager) {
	s.t.Helper()
	p, err := ampush.New(ampush.Options{State: s.state, Targets: targets, Leads: s.leads.Load, Every: every, Metrics: ampush.NewMetrics(s.reg), Logger: slog.New(slog.NewTextHandler(s, nil))})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
}

func (s *story) count(target, outcome string) float64 {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if got["target"] == target && got["outcome"] == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	s.t.Fatalf("nothing is counted of %s as %s", target, outcome)
	return 0
}

// posted is an alert as a target got it.
type posted struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
}

// receiver is a target that notes what it gets.
type receiver struct {
	t      *testing.T
	status atomic.Int64
	mu     sync.Mutex
	got    [][]posted // mu; by request
	header http.Header
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		r.t.Error(err)
	}
	if code := int(r.status.Load()); code != 0 {
		http.Error(w, "not now", code)
		return
	}
	var list []posted
	if err := json.Unmarshal(b, &list); err != nil || q.Method != http.MethodPost {
		r.t.Errorf("%v: %s %s", err, q.Method, b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.header = append(r.got, list), q.Header
	r.header.Set("Path", q.URL.Path)
}

// jobs are how the alerts were last heard of: job, and whether it has ended.
func (r *receiver) jobs() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	jobs := map[string]bool{}
	for _, list := range r.got {
		for _, a := range list {
			jobs[a.Labels["tenant"]+a.Labels["job"]] = !a.EndsAt.After(time.Now())
		}
	}
	return jobs
}

func (r *receiver) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func hears(t *testing.T) (*receiver, string) {
	r := &receiver{t: t}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

func TestPushes(t *testing.T) {
	s := begin(t)
	r, url := hears(t)
	now := time.Now()
	s.finds("", now.Add(-time.Hour), "old", "x")
	s.finds("", now.Add(-20*time.Minute), "x", "y")
	s.finds("", now.Add(-time.Minute), "x")
	s.finds("blue", now, "x")
	s.push(time.Minute, alerting.Alertmanager{Name: "am", URL: url + "/prefix/", Headers: []config.NameValue{{Name: "Authorization", Value: "Bearer hush"}}})
	s.eventually("all is pushed", func() bool { return len(r.jobs()) > 0 })
	if got := fmt.Sprint(r.jobs()); got != "map[bluex:false x:false y:true]" {
		t.Errorf("%s: want what fires, and what has ended a short while ago", got)
	}
	r.mu.Lock()
	for _, a := range r.got[0] {
		if left := time.Until(a.EndsAt); a.Labels["job"] == "x" && (left > 4*time.Minute || left < 3*time.Minute) || a.Annotations["summary"] != "hot" {
			t.Errorf("%+v ends in %s", a, left)
		}
	}
	if h := r.header; h.Get("Path") != "/prefix/api/v2/alerts" || h.Get("Authorization") != "Bearer hush" || h.Get(alerting.PushedHeader) == "" {
		t.Errorf("%v", h)
	}
	r.mu.Unlock()
	// A change is pushed at once, and alone.
	n := r.requests()
	s.finds("", now, "x", "z")
	s.eventually("what has changed is pushed", func() bool { return r.requests() > n })
	r.mu.Lock()
	defer r.mu.Unlock()
	if list := r.got[n]; len(list) != 1 || list[0].Labels["job"] != "z" {
		t.Errorf("%+v", list)
	}
	if problems, err := testutil.GatherAndLint(s.reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestAllIsPushedEachInterval, in parts.
func TestAllIsPushedEachInterval(t *testing.T) {
	s := begin(t)
	r, url := hears(t)
	var jobs []string
	for n := range 600 {
		jobs = append(jobs, fmt.Sprint(n))
	}
	s.finds("", time.Now(), jobs...)
	s.push(100*time.Millisecond, alerting.Alertmanager{Name: "am", URL: url})
	s.eventually("all is pushed three times", func() bool { return r.requests() >= 9 })
	for n, list := range r.got[:9] {
		if want := []int{256, 256, 88}[n%3]; len(list) != want {
			t.Errorf("request %d has %d alerts, want %d", n, len(list), want)
		}
	}
}

// TestADeadTargetHoldsUpNobody, is tried again, and gets all when it is back.
func TestADeadTargetHoldsUpNobody(t *testing.T) {
	s := begin(t)
	good, url := hears(t)
	ill, illURL := hears(t)
	ill.status.Store(http.StatusServiceUnavailable)
	picky, pickyURL := hears(t)
	picky.status.Store(http.StatusBadRequest)
	free := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-free:
		case <-q.Context().Done():
		}
	}))
	defer hangs.Close()
	defer close(free)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	s.finds("", time.Now().Add(-time.Minute), "x")
	s.push(300*time.Millisecond, alerting.Alertmanager{Name: "hangs", URL: hangs.URL}, alerting.Alertmanager{Name: "closed", URL: "http://" + closed.Addr().String()},
		alerting.Alertmanager{Name: "ill", URL: illURL}, alerting.Alertmanager{Name: "picky", URL: pickyURL}, alerting.Alertmanager{Name: "good", URL: url})
	s.eventually("the good one has it, and others were tried again", func() bool {
		return good.requests() > 2 && s.count("closed", "failed") > 1 && s.count("ill", "failed") > 1 && s.count("picky", "refused") > 1
	})
	s.finds("", time.Now(), "y")
	ill.status.Store(0)
	s.eventually("who is back has what fires, and what has ended", func() bool { return fmt.Sprint(ill.jobs()) == "map[x:true y:false]" })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, want := range []string{"target=ill", "target=closed", "target=picky", "not now"} {
		if !strings.Contains(s.said.String(), want) {
			t.Errorf("%q is not said: %s", want, s.said.String())
		}
	}
	if n := strings.Count(s.said.String(), "target=closed"); n > 2 {
		t.Errorf("said %d times within a minute", n)
	}
}

// TestOnlyWhoLeadsPushes, and whoever takes over pushes all.
func TestOnlyWhoLeadsPushes(t *testing.T) {
	s := begin(t)
	r, url := hears(t)
	s.leads.Store(false)
	s.finds("", time.Now(), "x")
	s.push(20*time.Millisecond, alerting.Alertmanager{Name: "am", URL: url})
	time.Sleep(200 * time.Millisecond) // ten intervals
	if n := r.requests(); n != 0 {
		t.Errorf("%d requests of one that does not lead", n)
	}
	s.leads.Store(true)
	s.eventually("it is pushed", func() bool { return r.requests() > 0 })
}

func TestTLS(t *testing.T) {
	s := begin(t)
	r := &receiver{t: t}
	server := httptest.NewTLSServer(r)
	defer server.Close()
	server.Config.ErrorLog = nil
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.finds("", time.Now(), "x")
	s.push(time.Minute, alerting.Alertmanager{Name: "am", URL: server.URL, TLS: config.TLSClient{CAFile: ca}})
	s.eventually("it is pushed", func() bool { return r.requests() > 0 })
	_, err := ampush.New(ampush.Options{Targets: []alerting.Alertmanager{{Name: "am", URL: server.URL, TLS: config.TLSClient{CAFile: ca + "x"}}}, Metrics: ampush.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "alerter.alertmanagers.am.tls") {
		t.Error(err)
	}
}
