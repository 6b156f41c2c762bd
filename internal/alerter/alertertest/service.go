// Package alertertest has, for tests of what asks an alerter, one that evaluates
// nothing: the real log on a queue in memory, the fold that follows it, and the real
// matchers and routes. What fires is what a test says.
package alertertest

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/amapi"
	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/journal"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// Service is an alerting.Service.
type Service struct {
	t      testing.TB
	queue  *memory.Queue
	state  *alerts.State
	log    *journal.Journal
	notify *amnotify.Config
	// Policy is that of new incidents; changed before they begin.
	Policy alerts.Policy
	// Mute is what Muted answers; nil: nothing.
	Mute func(*alerts.Alert) []string
	// Now is what Status answers.
	Now alerting.Status
}

var _ alerting.Service = (*Service)(nil)

// New makes one that follows its log until the test ends.
func New(t testing.TB) *Service {
	t.Helper()
	q := memory.New()
	s := &Service{t: t, queue: q, state: alerts.NewState(), Policy: alerts.Policy{Name: "default", GroupBy: []string{"alertname"}}}
	log := slog.New(slog.DiscardHandler)
	s.log = journal.New(q, journal.Options{Config: alerting.DefaultHistory(), State: s.state, Metrics: journal.NewMetrics(prometheus.NewRegistry()), Logger: log})
	var err error
	if s.notify, err = amnotify.Default(nil, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var follows sync.WaitGroup
	follows.Go(func() {
		if err := s.log.Follow(ctx, 0, func(e alerts.Entry) error { s.state.Apply(e); return nil }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		follows.Wait()
		_ = q.Close() // always nil
	})
	s.Until("the log is read", s.state.CaughtUp)
	return s
}

// Until waits for something of the state.
func (s *Service) Until(what string, f func() bool) {
	s.t.Helper()
	late := time.After(time.Minute)
	for {
		changed := s.state.Changed()
		if f() {
			return
		}
		select {
		case <-changed:
		case <-late:
			s.t.Fatalf("waited a minute for this: %s", what)
		}
	}
}

// Alert is a finding that fires, of labels in turn name and value.
func Alert(rule, severity string, labels ...string) alerts.Finding {
	l := []alerts.Label{{Name: "alertname", Value: rule}, {Name: "severity", Value: severity}}
	for i := 0; i+1 < len(labels); i += 2 {
		l = append(l, alerts.Label{Name: labels[i], Value: labels[i+1]})
	}
	return alerts.Finding{Rule: rule, Firing: true, Value: 1.5, Labels: alerts.LabelsOf(l...),
		Annotations: alerts.LabelsOf(alerts.Label{Name: "summary", Value: rule + " is not well"})}
}

// Evaluate says what fires of a tenant and a group of rules, of all of which this is
// an evaluation: what does not fire any more resolves.
func (s *Service) Evaluate(tenant, group string, active ...alerts.Finding) {
	s.t.Helper()
	now := time.Now()
	e := alerts.Evaluation{Tenant: tenant, File: "test", Group: group, At: now, Evaluated: []string{group}}
	for _, f := range active {
		f.ActiveAt, f.FiredAt = now.Add(-time.Minute), now
		e.Active = append(e.Active, f)
	}
	s.Append(func() ([]alerts.Event, error) { return s.state.Transitions(e, s.PolicyOf, now), nil })
}

// Append writes events, and waits until the state has them.
func (s *Service) Append(decide func() ([]alerts.Event, error)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	at, err := alerts.Do(ctx, s.log, s.state, decide)
	if err == nil {
		err = s.state.Reached(ctx, at)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Purge removes the entries of the log up to a position, as tidying does.
func (s *Service) Purge(to uint64) {
	s.t.Helper()
	if err := s.queue.Purge(context.Background(), topology.Alerts, to); err != nil {
		s.t.Fatal(err)
	}
}

// State implements alerting.Service.
func (s *Service) State() *alerts.State { return s.state }

// Log implements alerting.Service.
func (s *Service) Log() alerts.Log { return s.log }

// History implements alerting.Service.
func (s *Service) History(ctx context.Context, since time.Time, give func(at uint64, storedAt time.Time, e *alerts.Event) error) error {
	return s.log.History(ctx, since, give)
}

// Matcher implements alerting.Service.
func (s *Service) Matcher(matchers []string) (func(alerts.Labels) bool, error) {
	return amnotify.Matcher(matchers)
}

// Muted implements alerting.Service.
func (s *Service) Muted(_ context.Context, a *alerts.Alert) []string {
	if s.Mute == nil {
		return nil
	}
	return s.Mute(a)
}

// Receivers implements alerting.Service.
func (s *Service) Receivers() []string { return s.notify.Receivers(nil) }

// ReceiversOf implements alerting.Service.
func (s *Service) ReceiversOf(l alerts.Labels) []string {
	set := make(map[string]string, len(l))
	for _, x := range l {
		set[x.Name] = x.Value
	}
	return s.notify.Receivers(set)
}

// PolicyOf implements alerting.Service.
func (s *Service) PolicyOf(string, alerts.Labels) alerts.Policy { return s.Policy }

// Status implements alerting.Service.
func (s *Service) Status() alerting.Status { return s.Now }

// Alertmanager implements alerting.Service.
func (s *Service) Alertmanager(f alerting.Front) http.Handler {
	return amapi.New(amapi.Options{State: s.state, Log: s.log, PolicyOf: s.PolicyOf, Muted: s.Muted, Config: func() *amnotify.Config { return s.notify },
		Tenant: f.Tenant, Actor: f.Actor, Acted: f.Acted, Leads: func() bool { return true }, Version: "test", Metrics: amapi.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
}
