package amnotify_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/template"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// The tests TestUpstream… are what Penstock promises and Alertmanager does: each fails
// when an upgrade of it changes that.

var update = flag.Bool("update", false, "write what upstream does now")

// TestUpstreamReceivers: what a receiver can be, by its key in the file and its name in
// metrics and in the keys of claims, which are stored.
func TestUpstreamReceivers(t *testing.T) {
	const text = `route: {receiver: all}
receivers:
- name: all
  discord_configs: [{webhook_url: "http://127.0.0.1:1"}]
  email_configs: [{to: a@example.com, from: b@example.com, smarthost: "127.0.0.1:25"}]
  incidentio_configs: [{url: "http://127.0.0.1:1", alert_source_token: x}]
  jira_configs: [{api_url: "http://127.0.0.1:1", project: P, issue_type: Bug, http_config: {authorization: {credentials: x}}}]
  mattermost_configs: [{webhook_url: "http://127.0.0.1:1"}]
  msteams_configs: [{webhook_url: "http://127.0.0.1:1"}]
  msteamsv2_configs: [{webhook_url: "http://127.0.0.1:1"}]
  opsgenie_configs: [{api_key: x}]
  pagerduty_configs: [{routing_key: x}]
  pushover_configs: [{user_key: x, token: y}]
  rocketchat_configs: [{token: x, token_id: y}]
  slack_configs: [{api_url: "http://127.0.0.1:1", channel: "#x"}]
  sns_configs: [{topic_arn: "arn:aws:sns:us-east-2:123456789012:T", sigv4: {region: us-east-2, access_key: x, secret_key: y}}]
  telegram_configs: [{bot_token: x, chat_id: 1}]
  victorops_configs: [{api_key: x, routing_key: y}]
  webex_configs: [{room_id: x, http_config: {authorization: {credentials: x}}}]
  webhook_configs: [{url: "http://127.0.0.1:1"}]
  wechat_configs: [{api_secret: x, corp_id: y}]
`
	var keys []string
	of := reflect.TypeFor[config.Receiver]()
	for i := range of.NumField() {
		key, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
		if !strings.HasSuffix(key, "_configs") {
			continue
		}
		keys = append(keys, key)
		if !strings.Contains(text, " "+key+":") {
			t.Errorf("upstream has %s: say here what it is, and in the pages", key)
		}
	}
	c, err := amnotify.Load(write(t, map[string]string{"alertmanager.yml": text}), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("discord email incidentio jira mattermost msteams msteamsv2 opsgenie pagerduty pushover rocketchat slack sns telegram victorops webex webhook wechat")
	if got := sorted(c.Kinds("all")); !slices.Equal(got, want) || len(keys) != len(want) {
		t.Errorf("%q of %q, want %q", got, keys, want)
	}
	if got := c.Targets("all"); !slices.Contains(got, "all/webhook/0") || !slices.Contains(got, "all/email/0") {
		t.Errorf("%q", got)
	}
}

// TestUpstreamTemplateFunctions: those that templates of users may call.
func TestUpstreamTemplateFunctions(t *testing.T) {
	want := strings.Fields("date humanizeDuration join match mustToDate now reReplaceAll routeLabels safeHtml safeUrl since stringSlice title toDate toJson toLower toUpper trimSpace tz urlUnescape")
	got := slices.Sorted(maps.Keys(template.DefaultFuncs))
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is gone, of which templates of users may be made", name)
		}
	}
	texts, err := template.FromGlobs(nil)
	if err != nil {
		t.Fatal(err)
	}
	data := &template.Data{Receiver: "r", Status: "firing", GroupLabels: template.KV{"alertname": "A", "b": "c"}, CommonLabels: template.KV{"alertname": "A"},
		Alerts: template.Alerts{{Status: "firing", Labels: template.KV{"alertname": "A"}, StartsAt: time.Unix(0, 0).UTC()}, {Status: "resolved"}}}
	for text, want := range map[string]string{
		`{{ .Receiver | toUpper }} {{ "UP" | toLower }} {{ "a b" | title }} {{ trimSpace " x " }}`:          "R up A B x",
		`{{ .GroupLabels.SortedPairs.Values | join "," }} {{ .GroupLabels.Names | join "," }}`:              "A,c alertname,b",
		`{{ .Alerts.Firing | len }} {{ .Alerts.Resolved | len }}`:                                           "1 1",
		`{{ reReplaceAll "a(.)" "$1" "abac" }} {{ match "^a" "abc" }} {{ join "-" (stringSlice "x" "y") }}`: "bc true x-y",
		`{{ humanizeDuration 3661.0 }} {{ urlUnescape "a%20b" }} {{ toJson .CommonLabels }}`:                `1h 1m 1s a b {"alertname":"A"}`,
		`{{ (index .Alerts 0).StartsAt | tz "Europe/Berlin" | date "15:04" }}`:                              "01:00",
		`{{ template "slack.default.title" . }}`:                                                            "[FIRING:1] A c",
		`{{ template "__subject" . }}`:                                                                      "[FIRING:1] A c",
	} {
		if got, err := texts.ExecuteTextString(text, data); err != nil || strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("%s is %q, want %q: %v", text, got, want, err)
		}
	}
}

// TestUpstreamWebhook: its JSON, and the keys of groups, from which receivers make the
// identity of an incident.
func TestUpstreamWebhook(t *testing.T) {
	url, got := collect(t, http.StatusOK, "")
	r := start(t, "route: {receiver: none, routes: [{receiver: hook, matchers: [severity=critical], group_by: [alertname, host], group_wait: 10ms}]}\nreceivers: [{name: none}, {name: hook, webhook_configs: [{url: \""+url+"\"}]}]\n")
	a := fires("alertname", "HighCPU", "severity", "critical", "host", `db"1`)
	a.FiredAt = time.Date(2026, 3, 1, 12, 0, 0, 5_000_000, time.UTC)
	a.Source = "http://prom.example/graph"
	r.put(t, a)
	n := r.group(t, r.flush(t))
	if _, err := r.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	body, err := json.MarshalIndent(got().body, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	body = append(body, '\n')
	const file = "testdata/webhook.json"
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
		t.Errorf("the webhook is told\n%s", body)
	}
	groups := r.config.Groups(a.Labels)
	if len(groups) != 1 || groups[0].Receiver != "hook" || groups[0].Key != text(t, got().body, "groupKey") || !slices.Equal(groups[0].Labels, n.GroupLabels) {
		t.Errorf("%+v, and it is told of the group %s with %v", groups, text(t, got().body, "groupKey"), n.GroupLabels)
	}
}

// TestUpstreamMatchers: their syntax, which is stored in silences, and what they match.
func TestUpstreamMatchers(t *testing.T) {
	l := alerts.LabelsOf(alerts.Label{Name: "a", Value: "b c"}, alerts.Label{Name: "ünï", Value: `"x"`})
	for text, want := range map[string]bool{
		`a="b c"`: true, `a=b`: false, `a!=b`: true, `a=~"b.*"`: true, `a=~"b"`: false, `a!~"b.*"`: false, `none=""`: true, `none!="x"`: true,
		`ünï="\"x\""`: true, `"ünï"="\"x\""`: true,
	} {
		f, err := amnotify.Matcher([]string{text})
		if err != nil || f(l) != want {
			t.Errorf("%s: %v, want %v", text, err, want)
			continue
		}
		terms, err := amnotify.Terms([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		again, err := terms[0].Text()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := amnotify.Terms([]string{again}); err != nil || back[0] != terms[0] {
			t.Errorf("%s becomes %s: %+v, want %+v: %v", text, again, back, terms, err)
		}
	}
	for _, text := range []string{"", "a", "=b", `a="b`, "a=~(", `{a="b"`} {
		if _, err := amnotify.Terms([]string{text}); err == nil {
			t.Errorf("%q is a matcher", text)
		}
	}
	if _, err := (amnotify.Term{Name: "a", Value: "(", Regex: true}).Text(); err == nil {
		t.Error("( is a regular expression")
	}
}

// TestUpstreamTextHasNoSecret: the file is shown to whoever may view.
func TestUpstreamTextHasNoSecret(t *testing.T) {
	const text = `
global: {resolve_timeout: 7m, smtp_auth_password: hush1, smtp_auth_secret: hush2, slack_api_url: "http://x.example/hush3", opsgenie_api_key: hush4, victorops_api_key: hush5, wechat_api_secret: hush6,
  http_config: {basic_auth: {username: u, password: hush7}}}
route: {receiver: all}
receivers:
- name: all
  webhook_configs: [{url: "http://u:hush8@x.example/hush9", http_config: {authorization: {credentials: hush10}, proxy_url: "http://u:hush11@x.example"}}, {url: "http://x.example/hush12", http_config: {oauth2: {client_id: c, client_secret: hush13, token_url: "http://x.example"}}},
    {url: "http://x.example/hush18", http_config: {http_headers: {X-Key: {secrets: [hush14]}}}}]
  pagerduty_configs: [{routing_key: hush15}, {service_key: hush16}]
  telegram_configs: [{bot_token: hush17, chat_id: 1}]
  discord_configs: [{webhook_url: "http://x.example/hush19"}]
`
	c, err := amnotify.Load(write(t, map[string]string{"alertmanager.yml": text}), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := c.Text()
	if i := strings.Index(shown, "hush"); i >= 0 {
		t.Errorf("it shows %.60s", shown[max(0, i-40):])
	}
	if !strings.Contains(shown, "pagerduty_configs") || c.ResolveTimeout() != 7*time.Minute {
		t.Errorf("%s, %s", c.ResolveTimeout(), shown)
	}
}
