package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
)

// DefaultExternalBytes is the budget of streams on an external server when
// queue.max_bytes is 0: its disk cannot be seen from here.
const DefaultExternalBytes = 10 << 30

// Server is an embedded server.
type Server interface {
	nats.InProcessConnProvider
	// StoreBytes is what its streams may take together.
	StoreBytes() int64
	// LimitCaches bounds the memory of the streams that exist now.
	LimitCaches() error
}

// Open connects to the queue: to server when it is given, else to c.URL. name
// is that of the role, in the server's list of connections. files, which may be
// nil, is told of the certificate files in use.
func Open(ctx context.Context, c Config, server Server, name string, log *slog.Logger, files *config.TLSFiles) (*jetstream.Queue, error) {
	jc := jetstream.Config{
		Name: name, Durability: jetstream.Durability(c.Durability), Replicas: c.Replicas,
		AllowUnverified: c.AllowUnverified, MonitorURLs: c.MonitorURLs,
		CredsFile: c.CredsFile, User: c.User, Password: c.Password.Reveal(), Token: c.Token.Reveal(), Logger: log,
	}
	if server != nil {
		jc.Conn = server
	} else {
		if c.Embedded() {
			return nil, errors.New("queue.url is empty: this role needs the address of the queue, such as nats://HOST:4222 of a NATS server or of a gateway with queue.listen")
		}
		t, err := c.clientTLS(config.TLSUse{Name: "queue.tls", Logger: log, Files: files})
		if err != nil {
			return nil, fmt.Errorf("queue.tls: %w", err)
		}
		jc.URL, jc.TLS = c.URL, t.Config()
		if jc.TLS != nil {
			jc.RootCAs = t.RootCAs
		}
	}
	q, err := jetstream.Open(ctx, jc)
	if err != nil {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	log.Info("queue is open", "embedded", server != nil, "durability", q.Durability())
	return q, nil
}

// clientTLS is nil unless url or tls ask for it: NATS upgrades a connection when
// the server wants it, and a configuration here would demand it.
func (c Config) clientTLS(use config.TLSUse) (*config.TLSSource, error) {
	if !strings.Contains(c.URL, "tls://") && c.TLS == (config.TLSClient{}) {
		return nil, nil
	}
	return c.TLS.Open(use)
}

// Budget is what the streams may take together.
func (c Config) Budget(server Server) int64 {
	switch {
	case server != nil:
		return server.StoreBytes()
	case c.MaxBytes == 0:
		return DefaultExternalBytes
	}
	return int64(c.MaxBytes)
}
