package settings

import (
	"errors"
	"path/filepath"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/replay"
)

// Replay bounds replays and redrives.
type Replay struct {
	Rate config.ByteSize `yaml:"rate" help:"Bytes before compression a second of each replay and redrive that names no rate, as the process takes it that is asked to start the job."`
	Jobs int             `yaml:"jobs" help:"Replays and redrives that a worker runs at a time."`
	// EnvPrefix and Dir are those of replay.Trust.
	EnvPrefix string `yaml:"env_prefix" help:"Begin of the environment variables of the worker that headers of a replay's own endpoint may refer to."`
	Dir       string `yaml:"dir" help:"Absolute path of the directory of the worker that a replay's own endpoint may name files in: certificates, references in headers, and where protocol file writes. Empty: none."`
}

// DefaultReplay leaves most of a link to live traffic.
func DefaultReplay() Replay {
	return Replay{Rate: replay.DefaultRate, Jobs: 2, EnvPrefix: replay.DefaultEnvPrefix}
}

// Validate answers in the user's keys.
func (r Replay) Validate() error {
	var errs []error
	bad := func(wrong bool, key, format string, args ...any) {
		if wrong {
			errs = append(errs, config.KeyError(key, format, args...))
		}
	}
	bad(r.Rate < config.KiB, "rate", "is %s a second: want at least 1KiB", r.Rate)
	bad(r.Jobs < 1 || r.Jobs > 16, "jobs", "is %d: want 1 to 16", r.Jobs)
	bad(r.EnvPrefix == "", "env_prefix", "is empty: a replay could refer to every variable of the worker")
	bad(r.Dir != "" && !filepath.IsAbs(r.Dir), "dir", "is %q: want an absolute path", r.Dir)
	return errors.Join(errs...)
}
