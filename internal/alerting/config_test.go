package alerting

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

func TestConfigSaysWhatIsWrong(t *testing.T) {
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		if err := config.Validate(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
	f("query_offset", func(c *Config) { c.QueryOffset = -1 })
	f("warmup", func(c *Config) { c.Warmup = "1000h" })
	f("warmup", func(c *Config) { c.Warmup = "soon" })
	f("warmup", func(c *Config) { c.Warmup = "0s" })
	half := DefaultConfig()
	half.Warmup = "30m"
	if d, err := half.ReadsBack(); err != nil || d != 30*time.Minute {
		t.Errorf("30m is %s, %v", d, err)
	}
	f("max_series", func(c *Config) { c.MaxSeries = 0 })
	f("redis.addrs", func(c *Config) { c.Redis.Username = "u" })
	f("redis.cluster", func(c *Config) {
		c.Redis.Addrs, c.Redis.Cluster, c.Redis.SentinelMaster = []string{"a:1"}, true, "m"
	})
	f("external_url", func(c *Config) { c.ExternalURL = "alerts.example" })
	f("redis.prefix", func(c *Config) { c.Redis.Prefix = "{a}" })
	f("redis.sentinel_username", func(c *Config) { c.Redis.Addrs, c.Redis.SentinelPassword = []string{"a:1"}, "s3cret" })
	f("history.retention", func(c *Config) { c.History.Retention = config.Duration(time.Minute) })
	if err := config.Validate(DefaultConfig()); err != nil {
		t.Errorf("the defaults are invalid: %v", err)
	}
}
