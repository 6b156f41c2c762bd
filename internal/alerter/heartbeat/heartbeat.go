// Package heartbeat is one end of a dead man's switch: it says that alerting works, and
// whoever hears it raises the alarm when it stops.
//
// # Guarantees
//
//   - One replica beats, the one that leads, and only while what it is asked about says
//     that it evaluates the present. What it cannot say it does not say.
//   - Of the address, which is often a credential, nothing but the host is in a log, an
//     error or a metric.
package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/app"
)

// patience bounds one beat.
const patience = 10 * time.Second

// How a beat ended.
const (
	outcomeSent     = "sent"
	outcomeFailed   = "failed"
	outcomeWithheld = "withheld"
)

// Metrics of beats.
type Metrics struct{ beats *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_heartbeats_total",
		Help: "Beats to the dead man's switch: sent, failed (and tried again sooner), withheld (this replica does not evaluate the present)."}, []string{"outcome"})}
	reg.MustRegister(m.beats)
	for _, o := range []string{outcomeSent, outcomeFailed, outcomeWithheld} {
		m.beats.WithLabelValues(o)
	}
	return m
}

// Options of a heart.
type Options struct {
	Config alerting.Heartbeat // with a URL
	// Leads tells whether this replica beats.
	Leads func() bool
	// Well is nil while this replica evaluates the present.
	Well    func(context.Context) error
	Metrics *Metrics
	Logger  *slog.Logger
}

// Run beats until ctx ends.
func Run(ctx context.Context, o Options) {
	said := app.NewRepeat(o.Logger, time.Minute)
	defer said.Stop()
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: patience, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	every := time.Duration(o.Config.Every)
	for next := time.Duration(0); ; {
		t := time.NewTimer(next)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		next = every
		if !o.Leads() {
			next = min(every, time.Second) // whoever takes over beats at once
			continue
		}
		if err := o.Well(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			o.Metrics.beats.WithLabelValues(outcomeWithheld).Inc()
			said.Warn("well", "the heartbeat is withheld, as this alerter does not evaluate the present", "error", err)
			next = min(every, 5*time.Second)
			continue
		}
		if err := beat(ctx, client, o.Config.URL.Reveal()); err != nil {
			if ctx.Err() != nil {
				return
			}
			o.Metrics.beats.WithLabelValues(outcomeFailed).Inc()
			said.Warn("beat", "the heartbeat was not taken", "error", err)
			next = max(every/4, time.Second)
			continue
		}
		o.Metrics.beats.WithLabelValues(outcomeSent).Inc()
	}
}

// beat sends one.
func beat(ctx context.Context, client *http.Client, to string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(`{"status":"ok","from":"penstock"}`))
	if err != nil {
		return errors.New("alerter.heartbeat.url is none")
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address
		}
		return err
	}
	defer resp.Body.Close()                                       //nolint:errcheck // nothing is written
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
