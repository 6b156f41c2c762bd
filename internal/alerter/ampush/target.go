package ampush

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

const (
	// batch bounds the alerts of one request, as Prometheus does.
	batch = 256
	// patience bounds one request.
	patience = 10 * time.Second
	// maxAnswer bounds what is read of an answer, maxSaid what is told of it.
	maxAnswer = 64 << 10
	maxSaid   = 300
)

// target is one Alertmanager. It is used by one goroutine.
type target struct {
	name, url string
	headers   []config.NameValue
	tls       *config.TLSSource // nil: plain text
	metrics   *Metrics
	refused   func(n int, err error) // is told of what the target does not take

	client *http.Client // nil: not made yet
	made   *tls.Config  // with which client was
}

// postable is an alert of Alertmanager's API version 2.
type postable struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Source      string            `json:"generatorURL,omitempty"`
}

// tenantLabel tells the alerts of tenants apart where there are none.
const tenantLabel = "tenant"

func postableOf(a *alerts.Alert, now, end time.Time) postable {
	p := postable{Labels: asMap(a.Labels), Annotations: asMap(a.Annotations), StartsAt: a.FiredAt.UTC(), EndsAt: end.UTC(), Source: a.Source}
	if !a.ResolvedAt.IsZero() {
		p.EndsAt = a.ResolvedAt.UTC()
		if p.EndsAt.After(now) { // a clock behind that of the log
			p.EndsAt = now.UTC()
		}
	}
	if p.StartsAt.After(p.EndsAt) {
		p.StartsAt = p.EndsAt
	}
	if a.Tenant != "" && p.Labels[tenantLabel] == "" {
		p.Labels[tenantLabel] = a.Tenant
	}
	return p
}

func asMap(l alerts.Labels) map[string]string {
	m := make(map[string]string, len(l)+1)
	for _, x := range l {
		m[x.Name] = x.Value
	}
	return m
}

// push sends alerts in parts. An error is one that another try may cure: of what the
// target refuses for good only the count tells, as some of it may be good.
func (t *target) push(ctx context.Context, list []alerts.Alert, now, end time.Time) error {
	for part := range slices.Chunk(list, batch) {
		out := make([]postable, len(part))
		for i := range part {
			out[i] = postableOf(&part[i], now, end)
		}
		body, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("encode %d alerts: %w", len(out), err)
		}
		again, err := t.post(ctx, body)
		switch {
		case err == nil:
			t.metrics.pushed(t.name, outcomeSent, len(part))
		case again:
			t.metrics.pushed(t.name, outcomeFailed, len(part))
			return err
		default:
			t.metrics.pushed(t.name, outcomeRefused, len(part))
			t.refused(len(part), err)
		}
	}
	return nil
}

// post sends one request, and tells of a failure whether it is worth another try.
func (t *target) post(ctx context.Context, body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(alerting.PushedHeader, "1")
	for _, h := range t.headers {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			r.Host = h.Value.Reveal()
			continue
		}
		r.Header.Set(h.Name, h.Value.Reveal())
	}
	resp, err := t.now().Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the target is named by who says it
		}
		return true, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return true, fmt.Errorf("read its answer: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	text := t.masked(string(said)) // before it is cut: a part of a secret is one
	err = fmt.Errorf("it answers %s: %s", resp.Status, strconv.Quote(text[:min(len(text), maxSaid)]))
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return false, err
	}
	return true, err
}

// now is the client, made anew when the authorities have changed.
func (t *target) now() *http.Client {
	c := t.tls.Config()
	if t.client != nil && t.made == c {
		return t.client
	}
	t.close()
	t.made = c
	t.client = &http.Client{Timeout: patience,
		// A redirect is not followed: the headers are for who was asked.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.Clone(), TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10}}
	return t.client
}

func (t *target) close() {
	if t.client != nil {
		t.client.CloseIdleConnections()
	}
}

// masked is what a target says without what it was told in confidence: some answer with
// the headers that they got.
func (t *target) masked(text string) string {
	for _, h := range t.headers {
		if v := h.Value.Reveal(); v != "" {
			text = strings.ReplaceAll(text, v, config.Redacted)
		}
	}
	return text
}
