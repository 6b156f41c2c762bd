package alerting_test

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
)

func TestOthers(t *testing.T) {
	f := func(want string, change func(*alerting.Config)) {
		t.Helper()
		c := alerting.DefaultConfig()
		c.Alertmanagers = []alerting.Alertmanager{{Name: "a", URL: "https://a.example/am", Headers: []config.NameValue{{Name: "Authorization", Value: "Bearer hush"}}}, {Name: "b", URL: "http://127.0.0.1:9093"}}
		c.Heartbeat.URL = "https://beat.example/hush"
		change(&c)
		err := config.Validate(&c)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("", func(*alerting.Config) {})
	f("alertmanagers", func(c *alerting.Config) { c.Alertmanagers[1].Name = "a" })
	f("name", func(c *alerting.Config) { c.Alertmanagers[1].Name = "" })
	for _, u := range []string{"", "a.example", "ftp://a.example", "http://u:hush@a.example", "http://a.example?x=hush", "http://a.example#x", "http://", "::"} {
		f("url", func(c *alerting.Config) { c.Alertmanagers[1].URL = u })
	}
	f("tls", func(c *alerting.Config) { c.Alertmanagers[1].TLS.SkipVerify = true })
	f("tls", func(c *alerting.Config) { c.Alertmanagers[0].TLS.Insecure = true })
	f("headers", func(c *alerting.Config) { c.Alertmanagers[0].Headers[0].Value = "hush\r\nX: y" })
	f("headers", func(c *alerting.Config) { c.Alertmanagers[0].Headers[0].Name = "a b" })
	f("url", func(c *alerting.Config) { c.Heartbeat.URL = "hush" })
	f("every", func(c *alerting.Config) { c.Heartbeat.Every = config.Duration(time.Millisecond) })
	f("every", func(c *alerting.Config) { c.Heartbeat.Every = config.Duration(25 * time.Hour) })
}
