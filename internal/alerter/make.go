package alerter

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts/redis"
)

// Make is an alerting.Make: the alerter of a process, with the Redis of its
// configuration.
func Make(o alerting.Options) (alerting.Alerter, error) {
	store, err := openRedis(o.Config.Redis, o.TLSFiles, o.Logger)
	if err != nil {
		return nil, err
	}
	own := Options{Config: o.Config, Queue: o.Queue, Streams: o.Streams, Holder: o.Holder, Rank: o.Rank, Links: o.Links, Metrics: NewAllMetrics(o.Registry), Logger: o.Logger}
	if store != nil {
		own.Claims = store
	}
	own.TLSFiles = o.TLSFiles
	a, err := New(own)
	switch {
	case err != nil && store != nil:
		return nil, errors.Join(err, store.Close())
	case err != nil:
		return nil, err
	case store != nil:
		a.store = store
	}
	return a, nil
}

// openRedis makes the store; it connects when it is used. nil: there is none.
func openRedis(c alerting.Redis, files *config.TLSFiles, log *slog.Logger) (*redis.Store, error) {
	if len(c.Addrs) == 0 {
		return nil, nil
	}
	source, err := c.TLS.Open(config.TLSUse{Name: "alerter.redis.tls", Logger: log, Files: files})
	if err != nil {
		return nil, fmt.Errorf("alerter.redis.tls: %w", err)
	}
	o := redis.Options{Addrs: c.Addrs, SentinelMaster: c.SentinelMaster, Cluster: c.Cluster, Username: c.Username, Password: string(c.Password),
		SentinelUsername: c.SentinelUsername, SentinelPassword: string(c.SentinelPassword), Prefix: c.Prefix}
	if source != nil {
		o.TLS = source.Config
	}
	s, err := redis.Open(o)
	if err != nil {
		return nil, fmt.Errorf("alerter.redis: %w", err)
	}
	return s, nil
}
