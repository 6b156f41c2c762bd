package committer

import (
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config says when a group closes.
type Config struct {
	MaxBytes        config.ByteSize `yaml:"max_bytes" help:"A group has at most this many bytes before compression; beyond 1MiB it grows only while several others wait for a commit slot, or commits take long, or by a single request. 3.5MiB lets an export of one group pass a receiver that takes 4 MiB."`
	MaxItemBytes    config.ByteSize `yaml:"max_item_bytes" help:"Largest span, metric point or log record, with its resource and scope, before compression. One that is larger is refused alone (partial success). gRPC receivers take 4MiB unless told otherwise. What fits into max_bytes is never refused. 0: as large as the queue takes."`
	MaxItems        int             `yaml:"max_items" help:"A group closes at this many spans, points or log records. 0: no such limit."`
	MaxDelay        config.Duration `yaml:"max_delay" help:"How long a group gathers although a commit slot is free. 0s: not at all; groups then grow only while commits are in flight."`
	CommitsInFlight int             `yaml:"commits_in_flight" help:"Commits at a time for each stream. 2 lets one group be compressed while another is synced."`
}

// DefaultConfig is the configuration of a gateway that says nothing of groups.
func DefaultConfig() Config {
	return Config{MaxBytes: 3584 << 10, MaxItemBytes: 4 << 20, CommitsInFlight: 2}
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	switch {
	case c.MaxBytes < 64<<10 || c.MaxBytes > 64<<20:
		return fmt.Errorf("max_bytes is %s: want 64KiB to 64MiB", c.MaxBytes)
	case c.MaxItemBytes < 0:
		return fmt.Errorf("max_item_bytes is %s: want 0 or more", c.MaxItemBytes)
	case c.MaxItems < 0:
		return fmt.Errorf("max_items is %d: want 0 or more", c.MaxItems)
	case c.MaxDelay < 0 || time.Duration(c.MaxDelay) > 5*time.Second:
		return fmt.Errorf("max_delay is %s: want 0s to 5s, well under the patience of clients", c.MaxDelay)
	case c.CommitsInFlight < 1 || c.CommitsInFlight > 64:
		return fmt.Errorf("commits_in_flight is %d: want 1 to 64", c.CommitsInFlight)
	}
	return nil
}
