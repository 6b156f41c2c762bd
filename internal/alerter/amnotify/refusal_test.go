package amnotify_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// One receiver of each kind that speaks HTTP; URL stands for its address.
var kinds = map[string]string{
	"webhook":   "webhook_configs: [{url: \"URL\"}]",
	"slack":     "slack_configs: [{api_url: \"URL\", channel: \"#ops\", send_resolved: true}]",
	"pagerduty": "pagerduty_configs: [{routing_key: abc, url: \"URL\"}]",
	"discord":   "discord_configs: [{webhook_url: \"URL\"}]",
	"msteamsv2": "msteamsv2_configs: [{webhook_url: \"URL\"}]",
	"opsgenie":  "opsgenie_configs: [{api_key: abc, api_url: \"URL/\"}]",
}

// TestRefusedForNow: what a receiver refuses for the moment is tried again, and what
// it refuses whenever it comes is not.
func TestRefusedForNow(t *testing.T) {
	for kind, config := range kinds {
		for status, final := range map[int]bool{http.StatusTooManyRequests: false, http.StatusServiceUnavailable: false, http.StatusInternalServerError: false,
			http.StatusUnauthorized: false, http.StatusForbidden: false, http.StatusBadRequest: true} {
			url, _ := collect(t, status, `{}`)
			r := start(t, "route: {receiver: all, group_by: [alertname], group_wait: 10ms}\nreceivers: [{name: all, "+strings.ReplaceAll(config, "URL", url)+"}]\n")
			r.put(t, fires("alertname", "A", "severity", "critical"))
			_, err := r.Send(t.Context(), r.group(t, r.flush(t)))
			if err == nil || errors.Is(err, amnotify.ErrPermanent) != final {
				t.Errorf("%s, answered %d: final %t, want %t: %v", kind, status, errors.Is(err, amnotify.ErrPermanent), final, err)
			}
		}
	}
}

// TestGoldenPayloads: what Slack and PagerDuty are told of a beginning and an end.
func TestGoldenPayloads(t *testing.T) {
	for kind, answer := range map[string]string{"slack": `{"ok":true}`, "pagerduty": `{"status":"success"}`} {
		url, got := collect(t, map[string]int{"slack": http.StatusOK, "pagerduty": http.StatusAccepted}[kind], answer)
		r := start(t, "route: {receiver: all, group_by: [alertname], group_wait: 10ms}\nreceivers: [{name: all, "+strings.ReplaceAll(kinds[kind], "URL", url)+"}]\n")
		a := fires("alertname", "HighCPU", "severity", "critical", "host", `db"1`)
		a.FiredAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		a.Source = "http://prom.example/graph"
		r.put(t, a)
		n := r.group(t, r.flush(t))
		if _, err := r.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		told := []map[string]any{got().body}
		a.ResolvedAt = a.FiredAt.Add(time.Minute)
		n.Alerts, n.Last = []alerts.Alert{a}, alerts.Sent{Firing: []alerts.Key{a.Key}}
		if _, err := r.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		body, err := json.MarshalIndent(append(told, got().body), "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		body = append(body, '\n')
		file := "testdata/" + kind + ".json"
		if *update {
			if err := os.WriteFile(file, body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(body, want) {
			t.Errorf("%s is told\n%s", kind, body)
		}
	}
}
