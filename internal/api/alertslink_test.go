package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter/alertertest"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// linked gives the rig links; their metrics are in reg.
func (r *rig) linked() (l *alerting.Links, reg *prometheus.Registry) {
	r.t.Helper()
	c := alerting.DefaultConfig()
	c.LinkSecret, c.ExternalURL = config.Secret("0123456789abcdef"), "http://"+r.port.Addr()
	if err := c.Validate(); err != nil {
		r.t.Fatal(err)
	}
	reg = prometheus.NewRegistry()
	l = alerting.NewLinks(c, alerting.NewLinkMetrics(reg))
	r.ServeAckLinks(l)
	return l, reg
}

// follow asks for a link without a credential.
func follow(t *testing.T, method, link string) (int, string, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// TestAckByLink: who has the link needs nothing else, looking changes nothing, and the
// button takes the incident once.
func TestAckByLink(t *testing.T) {
	a, secrets := keys(t)
	r := startAs(t, admin.Config{}, a, secrets["view"])
	links, reg := r.linked()
	s := r.alerting()
	s.Policy.GroupBy = []string{"alertname", "service"}
	s.Evaluate("blue", "Slow", alertertest.Alert("Slow", "critical", "service", "<script>alert(1)</script>"))
	i := s.State().Incidents(alerts.Filter{})[0]
	link := links.Make(i.ID, time.Now())

	status, body, h := follow(t, http.MethodGet, link)
	if status != http.StatusOK || !strings.Contains(body, "Slow") || !strings.Contains(body, "critical") || !strings.Contains(body, "of blue") ||
		!strings.Contains(body, `<form method="post"><button type="submit">`) || !strings.Contains(body, "<style>"+linkStyle+"</style>") || strings.Contains(body, "<script") {
		t.Errorf("%d %s", status, body)
	}
	csp := h.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || !strings.Contains(csp, "form-action 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") ||
		h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} { // as scanners of mail do
		if status, _, _ := follow(t, method, link); status != http.StatusOK {
			t.Errorf("%s: %d", method, status)
		}
	}
	if got, _ := s.State().Incident(i.ID); got.Status != alerts.Open {
		t.Fatalf("looking has changed it: %+v", got)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		if status, _, _ := follow(t, method, link); status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, status)
		}
	}

	// Many press it at a time: one takes it.
	at := s.State().At()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if status, body, _ := follow(t, http.MethodPost, link); status != http.StatusOK || !strings.Contains(body, "You have it") && !strings.Contains(body, "Somebody has it") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	all.Wait()
	got, _ := s.State().Incident(i.ID)
	if got.Status != alerts.Taken || got.AckedBy != "link at 127.0.0.1" || s.State().At() != at+1 {
		t.Errorf("%+v, at %d and before %d", got, s.State().At(), at)
	}
	if status, body, _ := follow(t, http.MethodGet, link); status != http.StatusOK || !strings.Contains(body, "taken by link at 127.0.0.1") || strings.Contains(body, "<form") {
		t.Errorf("%d %s", status, body)
	}
	e := r.audit.of("ack incident by link")
	if len(e) == 0 || e[0].Outcome != audit.Done || e[0].Details[0] != (audit.Detail{Name: "incident", Value: i.ID}) || !strings.HasPrefix(e[0].Peer, "127.0.0.1:") {
		t.Errorf("recorded %+v", e)
	}
	if log := r.log.String(); strings.Contains(log, link[strings.LastIndexByte(link, '/')+1:]) {
		t.Error("the link is in the log")
	}

	// Somebody else has taken it, and it is over.
	call2 := func(verb string) {
		t.Helper()
		if status, body := r.ask(http.MethodPost, "/alerts/incidents/"+i.ID+"/"+verb, nil, "X-Api-Key", secrets["operate"]); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	call2("unack")
	if status, body, _ := follow(t, http.MethodGet, link); status != http.StatusOK || !strings.Contains(body, "<form") {
		t.Errorf("given back: %d %s", status, body)
	}
	call2("ack")
	if _, body, _ := follow(t, http.MethodPost, link); !strings.Contains(body, "taken by key:operate-key") {
		t.Errorf("%s", body)
	}
	call2("resolve")
	if status, body, _ := follow(t, http.MethodPost, link); status != http.StatusOK || !strings.Contains(body, "It is over") {
		t.Errorf("%d %s", status, body)
	}
	if status, body, _ := follow(t, http.MethodPost, links.Make("01M8H1N0FNRPJXRNN5FHDSTMAC", time.Now())); status != http.StatusGone || !strings.Contains(body, "long ago") {
		t.Errorf("of what nobody knows: %d %s", status, body)
	}
	if status, body, _ := follow(t, http.MethodPost, links.Make(i.ID, time.Now().Add(-25*time.Hour))); status != http.StatusGone || !strings.Contains(body, "no longer valid") {
		t.Errorf("of yesterday: %d %s", status, body)
	}
	r.AttachAlerts(nil)
	if status, body, _ := follow(t, http.MethodPost, link); status != http.StatusServiceUnavailable || !strings.Contains(body, "Not now") {
		t.Errorf("without an alerter: %d %s", status, body)
	}
	r.AttachAlerts(failing{s, alerts.ErrFull})
	s.Evaluate("blue", "Down", alertertest.Alert("Down", "critical"))
	down := s.State().Incidents(alerts.Filter{States: []string{"open"}})[0]
	if status, body, _ := follow(t, http.MethodPost, links.Make(down.ID, time.Now())); status != http.StatusServiceUnavailable || !strings.Contains(body, "could not be taken") {
		t.Errorf("with a full log: %d %s", status, body)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 6 {
		t.Errorf("%d series, %v", n, err)
	}
}

// TestWrongLinks are refused, recorded and bounded, and do not keep out right ones.
func TestWrongLinks(t *testing.T) {
	r := start(t, admin.Config{})
	links, _ := r.linked()
	s := r.alerting()
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "critical"))
	i := s.State().Incidents(alerts.Filter{})[0]
	link := links.Make(i.ID, time.Now())
	answers := map[int]int{}
	for range 60 {
		status, body, _ := follow(t, http.MethodPost, link[:len(link)-1])
		answers[status]++
		if strings.Contains(body, "Slow") || strings.Contains(body, i.ID) {
			t.Fatalf("it tells of the incident: %s", body)
		}
	}
	if answers[http.StatusNotFound] < badLinksBurst || answers[http.StatusTooManyRequests] == 0 || len(answers) != 2 {
		t.Errorf("answers %v", answers)
	}
	e := r.audit.of(audit.Authenticate)
	if len(e) != answers[http.StatusNotFound] || e[0].Outcome != audit.Refused || e[0].Reason != "link" {
		t.Errorf("%d recorded, %+v", len(e), e[0])
	}
	if got, _ := s.State().Incident(i.ID); got.Status != alerts.Open {
		t.Errorf("%+v", got)
	}
	if status, _, _ := follow(t, http.MethodPost, link); status != http.StatusOK {
		t.Errorf("the right one: %d", status)
	}
	if status, _, _ := follow(t, http.MethodGet, "http://"+r.port.Addr()+"/ack/"); status != http.StatusNotFound {
		t.Errorf("without a token: %d", status)
	}
}

// TestNoLinksNoPage: without a secret there is no such route.
func TestNoLinksNoPage(t *testing.T) {
	r := start(t, admin.Config{})
	r.ServeAckLinks(alerting.NewLinks(alerting.DefaultConfig(), nil))
	if status, body, _ := follow(t, http.MethodGet, "http://"+r.port.Addr()+"/ack/x"); status != http.StatusNotFound || strings.Contains(body, "html") {
		t.Errorf("%d %s", status, body)
	}
}
