package heartbeat_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/alerter/heartbeat"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
)

// rig is a heart, and who hears it.
type rig struct {
	t            *testing.T
	leads        atomic.Bool
	ill          atomic.Pointer[error]
	status       atomic.Int64
	heard        atomic.Int64
	mu           sync.Mutex
	said         bytes.Buffer // mu
	reg          *prometheus.Registry
	last, method atomic.Pointer[string]
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.Write(b)
}

func start(t *testing.T) *rig {
	r := &rig{t: t, reg: prometheus.NewRegistry()}
	r.leads.Store(true)
	r.status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		body, method := string(b), q.Method+" "+q.URL.Path
		r.last.Store(&body)
		r.method.Store(&method)
		w.WriteHeader(int(r.status.Load()))
		r.heard.Add(1)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done, metrics := make(chan struct{}), heartbeat.NewMetrics(r.reg)
	go func() {
		defer close(done)
		heartbeat.Run(ctx, heartbeat.Options{Config: alerting.Heartbeat{URL: config.Secret(server.URL + "/hush"), Every: config.Duration(20 * time.Millisecond)}, Leads: r.leads.Load,
			Well: func(context.Context) error {
				if e := r.ill.Load(); e != nil {
					return *e
				}
				return nil
			}, Metrics: metrics, Logger: slog.New(slog.NewTextHandler(r, nil))})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		server.Close()
		if s := r.said.String(); strings.Contains(s, "hush") {
			t.Errorf("it is said: %s", s)
		}
	})
	return r
}

func (r *rig) eventually(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(60 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not within 60 s: %s", what)
		}
	}
}

func (r *rig) count(outcome string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == outcome {
			return m.GetCounter().GetValue()
		}
	}
	r.t.Fatalf("nothing is counted as %s", outcome)
	return 0
}

func TestBeats(t *testing.T) {
	r := start(t)
	r.eventually("it beats", func() bool { return r.count("sent") > 2 })
	if got := *r.method.Load() + " " + *r.last.Load(); got != `POST /hush {"status":"ok","from":"penstock"}` {
		t.Error(got)
	}
	if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestSilence: who is not well, or does not lead, is not heard.
func TestSilence(t *testing.T) {
	r := start(t)
	r.eventually("it beats", func() bool { return r.heard.Load() > 0 })
	ill := errors.New("the streams are not read")
	r.ill.Store(&ill)
	r.eventually("it is withheld", func() bool { return r.count("withheld") > 1 })
	heard := r.heard.Load()
	r.eventually("it is withheld more often", func() bool { return r.count("withheld") > 4 })
	if n := r.heard.Load(); n != heard {
		t.Errorf("%d beats of one that is not well", n-heard)
	}
	r.leads.Store(false)
	r.ill.Store(nil)
	n := r.count("withheld")
	time.Sleep(100 * time.Millisecond)                         // five beats
	if r.count("withheld") > n+1 || r.heard.Load() > heard+1 { // one may have been on its way
		t.Errorf("one that does not lead has beaten %d times", r.heard.Load()-heard)
	}
	r.leads.Store(true)
	r.eventually("it beats again", func() bool { return r.heard.Load() > heard })
}

func TestWhoHearsItFails(t *testing.T) {
	r := start(t)
	r.status.Store(http.StatusInternalServerError)
	r.eventually("beats fail", func() bool { return r.count("failed") > 1 })
	r.status.Store(http.StatusFound) // a redirect is not followed
	n := r.count("failed")
	r.eventually("a redirect is a failure", func() bool { return r.count("failed") > n })
	r.status.Store(http.StatusNoContent)
	sent := r.count("sent")
	r.eventually("beats are taken again", func() bool { return r.count("sent") > sent })
}
