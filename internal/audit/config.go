package audit

import (
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config of the audit stream.
type Config struct {
	Enabled   bool            `yaml:"enabled" help:"Whether this process records what operators do and who is not let in, in the stream PENSTOCK_AUDIT (64 MiB beside queue.max_bytes)."`
	Retention config.Duration `yaml:"retention" help:"How long entries are kept; the oldest go earlier when the stream is above 80 % of its bytes. 0s: for ever, within those bytes."`
}

// DefaultConfig keeps 90 days.
func DefaultConfig() Config {
	return Config{Enabled: true, Retention: config.Duration(90 * 24 * time.Hour)}
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	if c.Retention != 0 && c.Retention < config.Duration(time.Hour) {
		return config.KeyError("retention", "is %s: want 1h or more, or 0s for ever", c.Retention)
	}
	return nil
}
