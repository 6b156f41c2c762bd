package alerting

import (
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// History bounds what is kept of it.
type History struct {
	Retention config.Duration `yaml:"retention" help:"How long what happened to alerts is kept in the stream PENSTOCK_ALERTS (64 MiB beside queue.max_bytes); the oldest goes earlier when it is above 80 % of its bytes. What still goes on is never lost by it. 0s: for ever, within those bytes."`
}

// DefaultHistory keeps 90 days.
func DefaultHistory() History { return History{Retention: config.Duration(90 * 24 * time.Hour)} }

// Validate answers in the user's keys.
func (c History) Validate() error {
	if c.Retention != 0 && c.Retention < config.Duration(time.Hour) {
		return config.KeyError("retention", "is %s: want 1h or more, or 0s for ever", c.Retention)
	}
	return nil
}
