package hindsight_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/hindsight"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
)

const busy = `groups:
- name: g
  interval: 15s
  rules:
  - {alert: Busy, expr: 'max by (host) (load) > 80', for: 5m, labels: {severity: critical}, annotations: {s: 'at {{ $value }}'}}
  - {record: 'host:load:max5m', expr: 'max by (host) (max_over_time(load[5m]))'}
  - {alert: Peak, expr: 'host:load:max5m > 85'}
`

// peaks: a host is busy from one offset until another.
func peak(at, from, until time.Duration) float64 {
	if at >= from && at < until {
		return 90
	}
	return 10
}

func (r *rig) try(o hindsight.Options) *hindsight.Report {
	r.t.Helper()
	report, err := hindsight.Try(r.t.Context(), o)
	r.must(err)
	return report
}

// fired writes alerts with their times from the beginning, to the minute.
func (r *rig) fired(report *hindsight.Report) (list []string) {
	for _, a := range report.Alerts {
		s := fmt.Sprintf("%s %s %s %s", a.Tenant, a.Rule, a.Labels.Get("host"), a.FiredAt.Sub(r.begin).Truncate(time.Minute))
		if !a.ResolvedAt.IsZero() {
			s += " until " + a.ResolvedAt.Sub(r.begin).Truncate(time.Minute).String()
		}
		list = append(list, strings.TrimSpace(s))
	}
	return list
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestWhatWouldHaveFired(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(2*time.Hour, func(at time.Duration) {
			r.put(0, "", gauge("load", "", peak(at, 20*time.Minute, 40*time.Minute), "host", "a"))
			r.put(0, "", gauge("load", "", peak(at, 60*time.Minute, 62*time.Minute), "host", "short"))
			r.put(0, "", gauge("load", "", peak(at, 110*time.Minute, 3*time.Hour), "host", "still"))
			r.put(0, "", gauge("unwanted", "", 1))
		})
		var told []hindsight.Progress
		o := r.options(busy, 0)
		o.Tell = func(p hindsight.Progress) { told = append(told, p) }
		report := r.try(o)
		equal(t, r.fired(report), []string{
			"Peak a 20m0s until 44m0s", "Busy a 25m0s until 40m0s", "Peak short 1h0m0s until 1h6m0s", "Peak still 1h50m0s", "Busy still 1h55m0s",
		})
		a := report.Alerts[1]
		if a.Labels.Get("severity") != "critical" || a.Annotations.Get("s") != "at 90" || a.Value != 90 || a.FiredAt.Sub(a.ActiveAt) != 5*time.Minute || a.File != "rules.yaml" || a.Group != "g" {
			t.Errorf("%+v", a)
		}
		if report.Samples != 3*480 || len(report.Notes) != 0 || len(report.Tenants) != 1 {
			t.Errorf("%+v", report.Read)
		}
		if len(told) == 0 || told[len(told)-1].Ratio() != 1 || told[len(told)-1].Samples != report.Samples {
			t.Errorf("told %v", told)
		}
		rules := report.Rules
		if len(rules) != 2 || rules[0].Name != "Busy" || rules[0].Fired != 2 || rules[1].Fired != 3 || !rules[0].Pending ||
			rules[0].Seconds < 19*60 || rules[0].Seconds > 21*60 {
			t.Errorf("%+v", rules)
		}
		if again := r.try(o); !reflect.DeepEqual(again.Alerts, report.Alerts) {
			t.Errorf("another answer the second time: %v", r.fired(again))
		}
	})
}

// What the rules look back on is read too, so that an alert that fires already has
// fired when it did.
func TestWhatWasBefore(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(2*time.Hour, func(at time.Duration) {
			r.put(0, "", gauge("load", "", peak(at, 56*time.Minute, 70*time.Minute), "host", "a"))
			r.put(0, "", gauge("load", "", peak(at, 20*time.Minute, 30*time.Minute), "host", "over"))
		})
		report := r.try(r.options(busy, time.Hour))
		equal(t, r.fired(report), []string{"Peak a 56m0s until 1h14m0s", "Busy a 1h1m0s until 1h10m0s"})
		if s := report.Rules[1].Seconds; s < 14*60 || s > 15*60 { // of the time that was asked for
			t.Errorf("%v s", s)
		}
		// An end in the past.
		o := r.options(busy, 0)
		o.Until = r.begin.Add(65 * time.Minute)
		equal(t, r.fired(r.try(o)), []string{"Peak over 20m0s until 34m0s", "Busy over 25m0s until 30m0s", "Peak a 56m0s", "Busy a 1h1m0s"})
	})
}

// Each tenant has its own alerts, over several streams.
func TestTenantsAndShards(t *testing.T) {
	story(t, 3, func(t *testing.T, r *rig) {
		r.run(time.Hour, func(at time.Duration) {
			r.put(0, "red", gauge("load", "", peak(at, 10*time.Minute, 20*time.Minute), "host", "a"))
			r.put(1, "blue", gauge("load", "", peak(at, 20*time.Minute, 30*time.Minute), "host", "a"))
			r.put(1, "green", gauge("other", "", 90, "host", "a"))
		})
		o := r.options(busy, 0)
		report := r.try(o)
		equal(t, r.fired(report), []string{"red Peak a 10m0s until 24m0s", "red Busy a 15m0s until 20m0s", "blue Peak a 20m0s until 34m0s", "blue Busy a 25m0s until 30m0s"})
		if !slices.Equal(report.Tenants, []string{"blue", "red"}) {
			t.Errorf("tenants %v", report.Tenants)
		}
		o.MaxTenants = 1
		if report = r.try(o); len(report.Tenants) != 0 || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "more than 1 tenants") {
			t.Errorf("%+v", report.Read)
		}
	})
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(time.Hour, func(at time.Duration) { r.put(0, "", gauge("load", "", 90, "host", "a")) })
		r.must(r.q.Purge(t.Context(), topology.Stream(otlp.Metrics, 0), 20))
		o := r.options(busy, 0)
		o.Streams = append(o.Streams, "PENSTOCK_METRICS_7")
		report := r.try(o)
		if len(report.Notes) != 2 || !strings.Contains(report.Notes[0], "all that was asked for") || !strings.Contains(report.Notes[1], "PENSTOCK_METRICS_7 is not there") {
			t.Errorf("%q", report.Notes)
		}
		o.From = r.begin.Add(6 * time.Minute)
		if report = r.try(o); len(report.Notes) != 2 || !strings.Contains(report.Notes[0], "what the rules look back on") {
			t.Errorf("%q", report.Notes)
		}
		o.Streams = o.Streams[1:]
		if _, err := hindsight.Try(t.Context(), o); err == nil || !strings.Contains(err.Error(), "none of the streams") {
			t.Errorf("%v", err)
		}
	})
}

// A rule that fails is told, and its alerts are not resolved by that.
func TestARuleThatFails(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(30*time.Minute, func(at time.Duration) {
			r.put(0, "", gauge("load", "", 90, "host", "a"))
			if at >= 15*time.Minute && at < 20*time.Minute {
				r.put(0, "", gauge("limit", "", 1, "host", "a", "n", "1"))
				r.put(0, "", gauge("limit", "", 1, "host", "a", "n", "2"))
			} else {
				r.put(0, "", gauge("limit", "", 1, "host", "a", "n", "1"))
			}
		})
		report := r.try(r.options("groups: [{name: g, interval: 15s, rules: [{alert: A, expr: load > on (host) limit}]}]", 0))
		equal(t, r.fired(report), []string{"A a 0s"})
		if rule := report.Rules[0]; rule.Failed < 20 || rule.Failed > 45 || !strings.Contains(rule.Error, "matching labels") {
			t.Errorf("%+v", rule)
		}
	})
}

// That nothing comes is found of the nameless tenant, as in the alerter.
func TestNothingCame(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(time.Hour, func(time.Duration) { r.put(0, "", gauge("other", "", 1)) })
		report := r.try(r.options("groups: [{name: g, interval: 15s, rules: [{alert: Gone, expr: absent(load), for: 5m}]}]", 30*time.Minute))
		if len(report.Alerts) != 1 || report.Alerts[0].Rule != "Gone" || report.Samples != 0 || len(report.Tenants) != 0 {
			t.Errorf("%+v", report)
		}
	})
}

func TestItEndsWhenItIsToldTo(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(time.Minute, func(time.Duration) { r.put(0, "", gauge("load", "", 90)) })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := hindsight.Try(ctx, r.options(busy, 0)); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		o := r.options(busy, 0)
		o.Until = time.Now().Add(time.Hour) // it waits for that
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := hindsight.Try(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		o = r.options(busy, 0)
		o.Engine.Dir = "/no/such/directory"
		if _, err := hindsight.Try(t.Context(), o); err == nil || !strings.Contains(err.Error(), "/no/such/directory") {
			t.Errorf("%v", err)
		}
		for _, bad := range []hindsight.Options{{}, {Source: r.q}, {Source: r.q, Files: o.Files}, {Source: r.q, Files: o.Files, From: time.Now(), Until: time.Now()}} {
			if _, err := hindsight.Try(t.Context(), bad); err == nil {
				t.Errorf("%+v is taken", bad)
			}
			if _, err := hindsight.Check(t.Context(), bad, 1); err == nil {
				t.Errorf("%+v is taken", bad)
			}
		}
	})
}
