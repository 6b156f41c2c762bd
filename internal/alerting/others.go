package alerting

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/penstock-otel/penstock/internal/config"
)

// Alertmanager is one that all alerts are pushed to.
type Alertmanager struct {
	Name    string             `yaml:"name" help:"Name in logs and metrics."`
	URL     string             `yaml:"url" help:"Where it is, with its path prefix if it has one; /api/v2/alerts is added." example:"https://alertmanager.example.com"`
	Headers []config.NameValue `yaml:"headers" help:"Headers of each request, as Authorization."`
	TLS     config.TLSClient   `yaml:"tls"`
}

// Heartbeat is a dead man's switch: silence is the alarm.
type Heartbeat struct {
	URL   config.Secret   `yaml:"url" help:"A POST goes there while this alerter evaluates the present; whoever is there raises the alarm when none comes. Its path is often all of its credential, so it is shown nowhere. Empty: no heartbeat."`
	Every config.Duration `yaml:"every" help:"The pace."`
}

// DefaultHeartbeat is none.
func DefaultHeartbeat() Heartbeat { return Heartbeat{Every: config.Duration(time.Minute)} }

// isURL tells whether requests can go there.
func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// Validate answers in the user's keys.
func (c Alertmanager) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.KeyError(key, format, args...)) }
	if c.Name == "" || len(c.Name) > 63 {
		bad("name", "is %q: want 1 to 63 bytes", c.Name)
	}
	if u, err := url.Parse(c.URL); err != nil || !isURL(c.URL) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		bad("url", "is not http://HOST or https://HOST, with a path if there is one; a credential belongs into headers")
	}
	if strings.HasPrefix(c.URL, "http://") && c.TLS != (config.TLSClient{}) {
		bad("tls", "is set, and url begins with http://, which speaks without TLS: remove one or the other")
	}
	if strings.HasPrefix(c.URL, "https://") && c.TLS.Insecure {
		bad("tls", "is insecure, and url begins with https://: remove one or the other")
	}
	for _, h := range c.Headers {
		if h.Name != "" && !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value.Reveal()) {
			bad("headers", "has %q, of which the name or the value is none", h.Name)
		}
	}
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (c Heartbeat) Validate() error {
	var errs []error
	if c.URL != "" && !isURL(c.URL.Reveal()) {
		errs = append(errs, config.KeyError("url", "is not http://HOST/PATH or https://HOST/PATH"))
	}
	if c.Every < config.Duration(time.Second) || c.Every > config.Duration(24*time.Hour) {
		errs = append(errs, config.KeyError("every", "is %s: want 1s to 24h", c.Every))
	}
	return errors.Join(errs...)
}

// validateOthers refuses names that are there twice.
func (c Config) validateOthers() error {
	names := map[string]bool{}
	for _, a := range c.Alertmanagers {
		if names[a.Name] {
			return config.KeyError("alertmanagers", "has two of the name %q: names must differ", a.Name)
		}
		names[a.Name] = true
	}
	return nil
}
