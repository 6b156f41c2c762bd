package amnotify_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
)

const sound = `
route:
  receiver: all
  group_by: [alertname]
  routes:
  - matchers: [severity="critical"]
    receiver: pager
    continue: true
  - matchers: [team=~"db|cache"]
    receiver: storage
receivers:
- name: all
  webhook_configs: [{url: "http://127.0.0.1:1/hook"}]
- name: pager
  pagerduty_configs: [{routing_key_file: key}]
  slack_configs: [{api_url: "http://127.0.0.1:1/slack", channel: "#ops"}]
- name: storage
  email_configs: [{to: a@example.com, from: b@example.com, smarthost: "127.0.0.1:25", require_tls: false}]
templates: ["*.tmpl"]
`

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "alertmanager.yml")
}

func TestLoad(t *testing.T) {
	c, err := amnotify.Load(write(t, map[string]string{"alertmanager.yml": sound, "a.tmpl": `{{ define "x" }}y{{ end }}`}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Names(); !reflect.DeepEqual(got, []string{"all", "pager", "storage"}) {
		t.Errorf("%v", got)
	}
	for name, want := range map[string][]string{"all": {"webhook"}, "pager": {"pagerduty", "slack"}, "storage": {"email"}, "nobody": nil} {
		got := c.Kinds(name)
		if len(got) != len(want) || strings.Join(sorted(got), " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f := func(labels map[string]string, want ...string) {
		t.Helper()
		if got := c.Receivers(labels); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %v, want %v", labels, got, want)
		}
	}
	f(nil, "all")
	f(map[string]string{"severity": "critical"}, "pager")
	f(map[string]string{"severity": "critical", "team": "db"}, "pager", "storage")
	f(map[string]string{"severity": "warning", "team": "cache"}, "storage")
	f(map[string]string{"team": "dbs"}, "all")
}

func TestLoadTellsWhatIsWrong(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"alertmanager.yml":   {},
		"no routes provided": {"alertmanager.yml": "receivers: [{name: a}]"},
		`undefined receiver`: {"alertmanager.yml": "route: {receiver: b}\nreceivers: [{name: a}]"},
		"templates":          {"alertmanager.yml": sound, "a.tmpl": `{{ define "x" }}{{ end`},
		`receiver "all"`:     {"alertmanager.yml": "route: {receiver: all}\nreceivers: [{name: all, webhook_configs: [{url: \"http://127.0.0.1:1\", http_config: {tls_config: {ca_file: missing}}}]}]"},
	} {
		_, err := amnotify.Load(write(t, files), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "alertmanager.yml") {
			t.Errorf("%v, want %q and the file", err, want)
		}
	}
}
