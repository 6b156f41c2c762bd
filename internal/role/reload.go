package role

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
)

// reloadTimeout bounds the wait of a stop for a reload that runs.
const reloadTimeout = 5 * time.Second

// makeReload makes what holds the running configuration. Each part that can change
// while it runs adds itself where it is started.
func (b *base) makeReload(level *slog.LevelVar) {
	running := b.p.Loaded
	if running == nil {
		running = config.Made(b.s)
	}
	b.reload = reload.New(reload.Options{Running: running, Audit: b.audit, Metrics: reload.NewMetrics(b.reg), Logger: app.Component(b.log, "reload"),
		Read: func() (*config.Loaded, error) {
			if b.p.Read == nil {
				return nil, errors.New("the settings of this process came from nowhere that could be read again")
			}
			_, loaded, err := b.p.Read()
			return loaded, err
		}})
	b.app.About = []any{"config_hash", running.Hash()}
	b.reload.Add(reload.Part{Name: "log", Keys: []string{"log.level"}, Prepare: func(s *settings.Settings) (func(), error) {
		lowest, err := s.Log.Lowest()
		return func() { level.Set(lowest) }, err
	}})
}

// openReload takes reloads, now that all parts are there: from the admin port, and
// from SIGHUP.
func (b *base) openReload(hangups <-chan os.Signal) {
	b.reload.Open()
	b.app.OnStop("reload no more", reloadTimeout, b.reload.Close)
	b.app.Go("reload on SIGHUP", func(ctx context.Context) error {
		for {
			select {
			case <-hangups:
				// It fails only while the process stops; what is refused it tells.
				if _, err := b.reload.Reload(ctx, reload.By{Listener: "signal"}); err != nil {
					b.log.Info("SIGHUP changes nothing", "why", err)
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// replayRate is the rate of jobs that name none, which can change.
func (b *base) replayRate() func() config.ByteSize {
	return func() config.ByteSize { return b.reload.Settings().Replay.Rate }
}

// untouched is the Prepare of keys that nothing has to be told of.
func untouched(*settings.Settings) (func(), error) { return func() {}, nil }

// ignores names keys that this role does not read: in a file for all roles they may
// change without a restart of this one.
func (b *base) ignores(keys ...string) {
	b.reload.Add(reload.Part{Name: b.app.Name(), Keys: keys, Prepare: untouched})
}

// ofWorkers are keys that only a process with a worker reads. What stands in a
// destination besides these makes the topology, which gateways have too.
var ofWorkers = []string{
	"worker.pull_max_bytes", "worker.drain_timeout", "replay.jobs", "replay.env_prefix", "replay.dir",
	"destinations[].endpoints", "destinations[].tls", "destinations[].headers", "destinations[].compression_level", "destinations[].timeout",
	"destinations[].max_request_bytes", "destinations[].merge_messages", "destinations[].max_in_flight", "destinations[].max_in_flight_bytes",
	"destinations[].on_refusal", "destinations[].retry", "destinations[].breaker", "destinations[].pool",
	"destinations[].tenants", "destinations[].where", "destinations[].tenant_header", "destinations[].auth",
}

// ofGateways are keys that only a process with a gateway reads.
var ofGateways = []string{"gateway", "retention"}
