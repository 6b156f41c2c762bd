package alerting

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config of an alerter.
type Config struct {
	Rules        []string        `yaml:"rules" help:"Rule files, Prometheus' own or of the short form, as paths with wildcards; predefined:NAME for those that come with Penstock. Empty: nothing is evaluated." example:"rules/*.yaml"`
	Alertmanager string          `yaml:"alertmanager" help:"An alertmanager.yml: route, receivers, inhibit_rules, time_intervals, templates. Empty: alerts are logged."`
	Escalation   string          `yaml:"escalation" help:"A file with policies: who is told when nobody answers. Empty: nobody in addition to the routes."`
	ExternalURL  string          `yaml:"external_url" help:"Where people reach this alerter, for links in notifications." example:"https://alerts.example.com"`
	LinkSecret   config.Secret   `yaml:"link_secret" help:"Signs links in notifications by which whoever gets one acknowledges its incident, at external_url, without another credential; 16 bytes or more, the same for all replicas. Empty: no such links."`
	LinkTTL      config.Duration `yaml:"link_ttl" help:"How long such a link is valid."`
	Warmup       string          `yaml:"warmup" help:"How far back the streams are read at the start, so that alerts are as if rules had always run, as 30m. auto: as far as the rules look." example:"auto"`
	QueryOffset  config.Duration `yaml:"query_offset" help:"How late samples may come and still be seen: rules are evaluated by so much later."`
	Promote      []string        `yaml:"promote_resource_attributes" help:"Resource attributes that become labels of every sample."`
	MaxSeries    int             `yaml:"max_series" help:"Series of a tenant that are kept at a time; what comes beyond is refused and counted. 300,000 take about 500 MB."`
	History      History         `yaml:"history"`
	Redis        Redis           `yaml:"redis"`
	// Others that are told.
	Alertmanagers []Alertmanager `yaml:"alertmanagers" help:"Alertmanagers, or other alerters, that get all alerts, each minute and when they change."`
	Heartbeat     Heartbeat      `yaml:"heartbeat"`
}

// Redis is where replicas agree on who sends.
type Redis struct {
	Addrs            []string         `yaml:"addrs" help:"host:port of one server, of the sentinels, or of some nodes of a cluster. Empty: replicas go by rank and the log of alerts alone."`
	SentinelMaster   string           `yaml:"sentinel_master" help:"Name that the sentinels have for the server; empty: addrs are no sentinels."`
	Cluster          bool             `yaml:"cluster" help:"addrs are nodes of a cluster."`
	Username         string           `yaml:"username" help:"User of the servers."`
	Password         config.Secret    `yaml:"password" help:"Password of the servers."`
	SentinelUsername string           `yaml:"sentinel_username" help:"User of the sentinels."`
	SentinelPassword config.Secret    `yaml:"sentinel_password" help:"Password of the sentinels."`
	Prefix           string           `yaml:"prefix" help:"Begin of every key, so that more than one Penstock may use the same servers."`
	TLS              config.TLSClient `yaml:"tls"`
	FailOpenSeverity string           `yaml:"fail_open_severity" help:"Least severity that is told while Redis does not answer; what is below waits for it." enum:"info,warning,error,critical"`
}

// Enabled tells whether a process that may do without an alerter has one to run.
func (c Config) Enabled() bool { return len(c.Rules) > 0 || c.Alertmanager != "" }

// auto in Warmup is as far as the rules look.
const auto = "auto"

// maxWarmup bounds what is read again at each start.
const maxWarmup = 7 * 24 * time.Hour

// ReadsBack is Warmup; 0: as far as the rules look.
func (c Config) ReadsBack() (time.Duration, error) {
	if c.Warmup == auto {
		return 0, nil
	}
	d, err := config.ParseDuration(c.Warmup)
	if err != nil || d <= 0 || d.D() > maxWarmup {
		return 0, fmt.Errorf("is %q: want auto, or a duration of more than 0s and at most 7d", c.Warmup)
	}
	return d.D(), nil
}

// DefaultConfig evaluates nothing.
func DefaultConfig() Config {
	return Config{Warmup: auto, QueryOffset: config.Duration(5 * time.Second), LinkTTL: config.Duration(24 * time.Hour), MaxSeries: 300_000, History: DefaultHistory(),
		Promote:   []string{"service.name", "service.namespace", "service.instance.id", "k8s.namespace.name"},
		Heartbeat: DefaultHeartbeat(),
		Redis:     Redis{Prefix: "penstock", TLS: config.TLSClient{Insecure: true}, FailOpenSeverity: "critical"}}
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.KeyError(key, format, args...)) }
	if c.QueryOffset < 0 || time.Duration(c.QueryOffset) > 10*time.Minute {
		bad("query_offset", "is %s: want 0s to 10m", c.QueryOffset)
	}
	if u, err := url.Parse(c.ExternalURL); err != nil || c.ExternalURL != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		bad("external_url", "is %q: want http://HOST or https://HOST, with a path if there is one", c.ExternalURL)
	}
	if _, err := c.ReadsBack(); err != nil {
		bad("warmup", "%w", err)
	}
	if c.MaxSeries < 1 || c.MaxSeries > 10_000_000 {
		bad("max_series", "is %d: want 1 to 10000000", c.MaxSeries)
	}
	errs = append(errs, c.validateLinks(), c.validateOthers())
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (c Redis) Validate() error {
	if c.SentinelMaster != "" && c.Cluster {
		return config.KeyError("cluster", "is set beside sentinel_master: want one or the other")
	}
	if c.Prefix == "" || strings.ContainsAny(c.Prefix, "{}") {
		return config.KeyError("prefix", "is %q: want some text without braces, which are for the slots of a cluster", c.Prefix)
	}
	if c.SentinelMaster == "" && (c.SentinelUsername != "" || c.SentinelPassword != "") {
		return config.KeyError("sentinel_username", "is set, or sentinel_password, and sentinel_master is not: name the server that the sentinels know")
	}
	if len(c.Addrs) == 0 && (c.SentinelMaster != "" || c.Cluster || c.Username != "" || c.Password != "") {
		return config.KeyError("addrs", "is empty, and other settings of Redis are not: name its servers")
	}
	return nil
}
