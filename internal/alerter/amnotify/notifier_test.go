package amnotify_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// rig is a Notifier and the groups that it flushed.
type rig struct {
	*amnotify.Notifier
	config  *amnotify.Config
	flushed chan alerts.ClaimKey
}

func start(t *testing.T, yaml string) *rig {
	t.Helper()
	external, err := url.Parse("http://alerter.example")
	if err != nil {
		t.Fatal(err)
	}
	c, err := amnotify.Load(write(t, map[string]string{"alertmanager.yml": yaml}), external)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, c)
}

func run(t *testing.T, c *amnotify.Config) *rig {
	t.Helper()
	r := &rig{config: c, flushed: make(chan alerts.ClaimKey, 1000)}
	n, err := amnotify.New(c, amnotify.Options{Tenant: "blue", Flush: func(k alerts.ClaimKey) { r.flushed <- k }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.Notifier = n
	t.Cleanup(n.Close)
	return r
}

// flush waits for the next group.
func (r *rig) flush(t *testing.T) alerts.ClaimKey {
	t.Helper()
	select {
	case k := <-r.flushed:
		return k
	case <-time.After(20 * time.Second):
		t.Fatal("no group was flushed within 20 s")
		return alerts.ClaimKey{}
	}
}

func (r *rig) put(t *testing.T, list ...alerts.Alert) {
	t.Helper()
	if err := r.Put(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) group(t *testing.T, k alerts.ClaimKey) alerts.Notification {
	t.Helper()
	n, ok := r.Group(t.Context(), k)
	if !ok {
		t.Fatalf("group %v is not known", k)
	}
	return n
}

// fires is an alert that fires from now on, by pairs of label and value.
func fires(pairs ...string) alerts.Alert {
	var list []alerts.Label
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, alerts.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	l := alerts.LabelsOf(list...)
	at := time.Now() // of an older one upstream does not wait for the others of its group
	return alerts.Alert{Key: alerts.KeyOf("blue", l), Tenant: "blue", Rule: l.Get("alertname"), Labels: l, ActiveAt: at, FiredAt: at,
		Annotations: alerts.LabelsOf(alerts.Label{Name: "summary", Value: "it is " + l.Get("alertname")})}
}

func resolved(a alerts.Alert) alerts.Alert {
	a.ResolvedAt = time.Now()
	return a
}

func names(n alerts.Notification) string {
	var list []string
	for _, a := range n.Alerts {
		name := a.Labels.Get("alertname") + a.Labels.Get("host")
		if !a.ResolvedAt.IsZero() {
			name = "-" + name
		}
		list = append(list, name)
	}
	return strings.Join(sorted(list), " ")
}

const fast = `
route:
  receiver: all
  group_by: [alertname]
  group_wait: 200ms
  group_interval: 300ms
  repeat_interval: 1h
  routes:
  - matchers: [team="night"]
    receiver: night
    mute_time_intervals: [ever]
  - matchers: [team="day"]
    receiver: night
    active_time_intervals: [ever]
receivers:
- name: all
  webhook_configs: [{url: "http://127.0.0.1:1/a"}, {url: "http://127.0.0.1:1/b", send_resolved: false}]
- name: night
  webhook_configs: [{url: "http://127.0.0.1:1/c"}]
inhibit_rules:
- source_matchers: [severity="critical"]
  target_matchers: [severity="warning"]
  equal: [host]
time_intervals:
- name: ever
  time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]
`

func TestGroups(t *testing.T) {
	r := start(t, fast)
	a, b := fires("alertname", "A", "host", "1"), fires("alertname", "A", "host", "2")
	r.put(t, a, b)
	first, second := r.flush(t), r.flush(t)
	if first.Group != second.Group || len(first.Group) != 32 || first.Tenant != "blue" {
		t.Errorf("%+v and %+v: want one group for two integrations", first, second)
	}
	if got := strings.Join(sorted([]string{first.Receiver, second.Receiver}), " "); got != "all/webhook/0 all/webhook/1" {
		t.Errorf("receivers %s", got)
	}
	waitFor(t, "both are in their group", func() bool { return names(r.group(t, first)) == "A1 A2" })
	n := r.group(t, first)
	if n.Repeat != time.Hour || n.GroupLabels.Get("alertname") != "A" {
		t.Errorf("%s, repeat %s, labels %v", names(n), n.Repeat, n.GroupLabels)
	}
	if n.SendResolved == r.group(t, second).SendResolved {
		t.Error("send_resolved of both integrations is the same")
	}
	r.put(t, resolved(a))
	if got := names(r.group(t, first)); got != "-A1 A2" {
		t.Errorf("at once after one resolved: %s", got)
	}
	r.put(t, a)
	if got := names(r.group(t, first)); got != "A1 A2" {
		t.Errorf("it fires again: %s", got)
	}
	if _, ok := r.Group(t.Context(), alerts.ClaimKey{Tenant: "blue", Group: "x", Receiver: "all/webhook/0"}); ok {
		t.Error("a group that is not there is known")
	}
	r.put(t, resolved(a), resolved(b))
	for len(r.flushed) > 0 { // what was before
		<-r.flushed
	}
	r.flush(t) // after which the dispatcher lets go of what has resolved
	if got := names(r.group(t, first)); got != "-A1 -A2" {
		t.Errorf("after it was flushed: %s", got)
	}
}

// What is muted is not told; that it has resolved is.
func TestMutes(t *testing.T) {
	r := start(t, fast)
	page, warn, other := fires("alertname", "A", "host", "1", "severity", "critical"), fires("alertname", "A", "host", "1", "severity", "warning"), fires("alertname", "A", "host", "2", "severity", "warning")
	r.put(t, page, warn, other)
	k := r.flush(t)
	waitFor(t, "all are in their group", func() bool { n, ok := r.Group(t.Context(), k); return ok && len(n.Alerts) > 1 })
	waitFor(t, "the warning is inhibited", func() bool { return strings.Join(r.Muted(t.Context(), &warn), " ") == amnotify.Inhibited })
	if got := names(r.group(t, k)); got != "A1 A2" {
		t.Errorf("told of %s", got)
	}
	now := time.Now()
	silence := func(id string, from, to time.Duration, matchers ...string) alerts.Silence {
		return alerts.Silence{ID: id, Matchers: matchers, Starts: now.Add(from), Ends: now.Add(to)}
	}
	if err := r.SetSilences([]alerts.Silence{silence("s1", -time.Minute, time.Hour, `host=~"2|3"`, `severity="warning"`), silence("past", -time.Hour, -time.Minute, `host="1"`),
		silence("later", time.Hour, 2*time.Hour, `host="1"`)}); err != nil {
		t.Fatal(err)
	}
	if got := r.Muted(t.Context(), &other); len(got) != 1 || got[0] != "s1" {
		t.Errorf("muted by %v", got)
	}
	if got := names(r.group(t, k)); got != "A1" {
		t.Errorf("told of %s", got)
	}
	r.put(t, resolved(other))
	if got := names(r.group(t, k)); got != "-A2 A1" {
		t.Errorf("a silenced one that has resolved: %s", got)
	}
	if err := r.SetSilences([]alerts.Silence{silence("bad", 0, time.Hour, `host=~"("`)}); err == nil || !strings.Contains(err.Error(), "silence bad") {
		t.Errorf("%v", err)
	}
	if got := r.Muted(t.Context(), &other); len(got) != 1 {
		t.Error("a list that is not taken has changed the silences")
	}
	for _, bad := range [][]string{nil, {`host=""`}, {`host=~".*"`}, {"!"}} {
		if amnotify.CheckMatchers(bad) == nil {
			t.Errorf("matchers %q are taken", bad)
		}
	}
	if err := amnotify.CheckMatchers([]string{`host="1"`, `x=~".*"`}); err != nil {
		t.Error(err)
	}
}

func TestTimeIntervals(t *testing.T) {
	r := start(t, fast)
	quiet, loud := fires("alertname", "A", "team", "night"), fires("alertname", "A", "team", "day")
	r.put(t, quiet)
	if n := r.group(t, r.flush(t)); len(n.Alerts) != 0 {
		t.Errorf("told in a muted time: %s", names(n))
	}
	r.put(t, loud)
	waitFor(t, "the active route tells", func() bool {
		n, ok := r.Group(t.Context(), r.flush(t))
		return ok && names(n) == "A"
	})
	if open, err := r.config.Open("ever", time.Now()); err != nil || !open {
		t.Errorf("%t, %v", open, err)
	}
	if _, err := r.config.Open("never", time.Now()); err == nil || !strings.Contains(err.Error(), "time_intervals") {
		t.Errorf("%v", err)
	}
	if got := r.config.Targets("all"); len(got) != 2 || got[1] != "all/webhook/1" {
		t.Errorf("%v", got)
	}
}

// hooks is a receiver of webhooks.
type hooks struct {
	mu     sync.Mutex
	status int
	bodies []map[string]any
	url    string
}

func hook(t *testing.T) *hooks {
	h := &hooks{status: http.StatusOK}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var body map[string]any
		if err != nil || json.Unmarshal(b, &body) != nil {
			t.Errorf("%s: %v", b, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies = append(h.bodies, body)
		w.WriteHeader(h.status)
	}))
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

func (h *hooks) last(t *testing.T) map[string]any {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.bodies) == 0 {
		t.Fatal("nothing was received")
	}
	return h.bodies[len(h.bodies)-1]
}

func (h *hooks) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func TestSend(t *testing.T) {
	h := hook(t)
	r := start(t, strings.ReplaceAll(fast, "http://127.0.0.1:1/a", h.url))
	a := fires("alertname", "A", "host", "1")
	r.put(t, a)
	var k alerts.ClaimKey
	for k.Receiver != "all/webhook/0" {
		k = r.flush(t)
	}
	n := r.group(t, k)
	n.Ack = func(incident string) string { return "http://alerter.example/ack/" + incident }
	if _, err := r.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	body := h.last(t)
	one := body["alerts"].([]any)[0].(map[string]any)
	for what, pair := range map[string][2]any{
		"status": {body["status"], "firing"}, "receiver": {body["receiver"], "all"}, "externalURL": {body["externalURL"], "http://alerter.example"},
		"reason": {body["notification_reason"], "first notification"}, "version": {body["version"], "4"},
		"summary": {one["annotations"].(map[string]any)["summary"], "it is A"}, "ack": {one["annotations"].(map[string]any)["ack_url"], "http://alerter.example/ack/" + a.Incident},
		"endsAt": {one["endsAt"], "0001-01-01T00:00:00Z"}, "host": {one["labels"].(map[string]any)["host"], "1"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	key := body["groupKey"]
	r.put(t, resolved(a))
	n = r.group(t, k)
	n.Last = alerts.Sent{Firing: []alerts.Key{a.Key}, At: time.Now()}
	if _, err := r.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if body = h.last(t); body["status"] != "resolved" || body["groupKey"] != key || body["notification_reason"] != "all alerts resolved" {
		t.Errorf("%v", body)
	}

	h.answer(http.StatusServiceUnavailable)
	if _, err := r.Send(t.Context(), n); err == nil || errors.Is(err, amnotify.ErrPermanent) || !strings.Contains(err.Error(), "all/webhook/0") {
		t.Errorf("503: %v", err)
	}
	h.answer(http.StatusBadRequest)
	if _, err := r.Send(t.Context(), n); !errors.Is(err, amnotify.ErrPermanent) {
		t.Errorf("400: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Send(gone, n); err == nil || errors.Is(err, amnotify.ErrPermanent) {
		t.Errorf("its time ended: %v", err)
	}
	n.Receiver = "all/webhook/7"
	if _, err := r.Send(t.Context(), n); !errors.Is(err, amnotify.ErrPermanent) {
		t.Errorf("no such receiver: %v", err)
	}
}

func TestDefaultLogs(t *testing.T) {
	var text strings.Builder
	c, err := amnotify.Default(&url.URL{}, slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, c)
	a := fires("alertname", "A")
	r.put(t, a)
	n := r.group(t, r.flush(t))
	if _, err := r.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	r.put(t, resolved(a))
	n = r.group(t, n.ClaimKey)
	n.Last.Firing = []alerts.Key{a.Key}
	if _, err := r.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"level=WARN msg=\"alert fires\" alert=A", `summary="it is A"`, "level=INFO msg=\"alert has resolved\""} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in %s", want, text.String())
		}
	}
}

// Without a file the worse an alert is, the sooner it is told again.
func TestDefaultBySeverity(t *testing.T) {
	c, err := amnotify.Default(&url.URL{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, c)
	for severity, want := range map[string]time.Duration{"critical": time.Hour, "warning": 4 * time.Hour, "": 4 * time.Hour, "info": 24 * time.Hour} {
		a := fires("alertname", "A"+severity, "severity", severity)
		a.FiredAt, a.ActiveAt = a.FiredAt.Add(-time.Hour), a.ActiveAt.Add(-time.Hour) // told at once
		r.put(t, a)
		if n := r.group(t, r.flush(t)); n.Repeat != want {
			t.Errorf("severity %q is told again after %s, want %s", severity, n.Repeat, want)
		}
	}
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
