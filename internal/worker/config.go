package worker

import (
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config of the worker role.
type Config struct {
	PullMaxBytes  config.ByteSize `yaml:"pull_max_bytes" help:"Stored bytes pulled in advance for each stream and destination. Larger than the largest message of the queue."`
	DrainTimeout  config.Duration `yaml:"drain_timeout" help:"How long a stopping worker lets exports finish. What is left is given back to the queue at once."`
	AckWait       config.Duration `yaml:"ack_wait" help:"After this time without a sign of life a message is given to another worker. Workers extend it while they export."`
	MaxAckPending int             `yaml:"max_ack_pending" help:"Messages of one stream and destination that all workers together may hold or have given back for later."`
}

// DefaultConfig is a worker that says nothing of itself.
func DefaultConfig() Config {
	return Config{
		PullMaxBytes: 8 << 20, DrainTimeout: config.Duration(20 * time.Second),
		AckWait: config.Duration(30 * time.Second), MaxAckPending: 4096,
	}
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	var errs problems
	errs.add(c.PullMaxBytes < 1<<20 || c.PullMaxBytes > 48<<20, "pull_max_bytes", "is %s: want 1MiB to 48MiB, the client drops what passes 64MiB", c.PullMaxBytes)
	errs.add(c.DrainTimeout <= 0, "drain_timeout", "is %s: want more than 0s", c.DrainTimeout)
	errs.add(c.AckWait < config.Duration(time.Second), "ack_wait", "is %s: want at least 1s", c.AckWait)
	errs.add(c.MaxAckPending < 1, "max_ack_pending", "is %d: want at least 1", c.MaxAckPending)
	return errors.Join(errs...)
}

// problems are those of one section, each with its key.
type problems []error

func (p *problems) add(wrong bool, key, format string, args ...any) {
	if wrong {
		*p = append(*p, config.KeyError(key, format, args...))
	}
}
