package journal

import (
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config of the history.
type Config struct {
	Retention config.Duration `yaml:"retention" help:"How long what happened to alerts is kept in the stream PENSTOCK_ALERTS (64 MiB beside queue.max_bytes); the oldest goes earlier when it is above 80 % of its bytes. What still goes on is never lost by it. 0s: for ever, within those bytes."`
}

// DefaultConfig keeps 90 days.
func DefaultConfig() Config { return Config{Retention: config.Duration(90 * 24 * time.Hour)} }

// Validate answers in the user's keys.
func (c Config) Validate() error {
	if c.Retention != 0 && c.Retention < config.Duration(time.Hour) {
		return config.KeyError("retention", "is %s: want 1h or more, or 0s for ever", c.Retention)
	}
	return nil
}
