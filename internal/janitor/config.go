package janitor

import (
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config says what is kept of exported data.
type Config struct {
	ReplayWindow config.Duration `yaml:"replay_window" help:"How long exported data is kept in the queue for replay. Shortened while a stream is above 80 % of its bytes; data that is not exported everywhere is never removed. 0s: not kept."`
	ReplayBytes  config.ByteSize `yaml:"replay_bytes" help:"Bytes of a stream above which exported data goes before its replay_window is over. 0: no bound of its own."`
	Every        config.Duration `yaml:"every" help:"Pace at which exported data is looked for and removed."`
}

// DefaultConfig keeps a day, if there is room.
func DefaultConfig() Config {
	return Config{ReplayWindow: config.Duration(24 * time.Hour), Every: config.Duration(5 * time.Second)}
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	var errs []error
	bad := func(wrong bool, key, format string, args ...any) {
		if wrong {
			errs = append(errs, config.KeyError(key, format, args...))
		}
	}
	bad(c.ReplayWindow < 0, "replay_window", "is %s: want 0s or more", c.ReplayWindow)
	bad(c.ReplayBytes < 0, "replay_bytes", "is %s: want 0 or more", c.ReplayBytes)
	bad(c.Every < config.Duration(100*time.Millisecond) || c.Every > config.Duration(time.Minute), "every", "is %s: want 100ms to 1m", c.Every)
	return errors.Join(errs...)
}
