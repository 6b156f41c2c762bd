package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/gateway/committer"
	"github.com/penstock-otel/penstock/internal/gateway/receiver"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Bounds of the steps of a stop. Together they fit Kubernetes' default grace of
// 30 s.
const (
	stopReceivers = 12 * time.Second
	stopCommitter = 8 * time.Second
)

// Options are what a gateway works with.
type Options struct {
	Config Config
	Queue  queue.Publisher
	// Plan has been applied to the queue.
	Plan topology.Plan
	// Wire lists the compression of each destination, for codec auto.
	Wire []string
	// Door says who a request is of, and how much that one may send.
	Door receiver.Door
	// Pressure, unless nil, refuses requests that the queue has no room for.
	Pressure func(otlp.Signal) *otlp.Refusal
	// Full, unless nil, is the wait asked of clients when the queue itself was full
	// at the commit; 0: not known.
	Full func(otlp.Signal) time.Duration
	// Unrouted, unless nil, tells that no destination takes a signal now. What is
	// accepted of it is counted.
	Unrouted func(otlp.Signal) bool
	Registry prometheus.Registerer
	// TLSFiles are told of the certificate files in use; may be nil.
	TLSFiles *config.TLSFiles
	Logger   *slog.Logger
}

// Gateway is a running gateway.
type Gateway struct {
	intake *receiver.Intake
	grpc   *receiver.GRPC // nil: no such listener
	http   *receiver.HTTP // nil: no such listener
}

// Start wires a gateway and serves until the app stops.
func Start(ctx context.Context, a *app.App, o Options) (*Gateway, error) {
	policy, err := o.Config.Compression.Policy(o.Wire)
	if err != nil {
		return nil, fmt.Errorf("gateway.compression: %w", err)
	}
	var streams [otlp.NumSignals][]string
	for _, s := range otlp.Signals {
		streams[s] = o.Plan.Streams(s)
	}
	commits := committer.New(committer.Options{Config: o.Config.Batch, Queue: o.Queue, Streams: streams,
		Compression: policy, Metrics: committer.NewMetrics(o.Registry)})
	a.OnStop("flush and confirm commit groups", stopCommitter, commits.Stop)

	metrics := receiver.NewMetrics(o.Registry)
	g := &Gateway{intake: receiver.NewIntake(o.Config.Limits, commits, metrics, o.Logger)}
	g.intake.Door = o.Door
	g.intake.Pressure, g.intake.Full, g.intake.Unrouted = o.Pressure, o.Full, o.Unrouted
	o.Registry.MustRegister(InFlightBytes(g.intake.InFlightBytes))
	if err := g.listen(ctx, o); err != nil {
		return nil, errors.Join(err, g.stop(ctx))
	}
	if g.grpc != nil {
		a.Go("OTLP/gRPC server", func(context.Context) error { return g.grpc.Serve() })
		o.Logger.Info("taking OTLP/gRPC", "address", g.grpc.Addr().String(), "tls", o.Config.GRPC.TLS.Enabled(), "stored_as", policy.Name())
	}
	if g.http != nil {
		a.Go("OTLP/HTTP server", func(context.Context) error { return g.http.Serve() })
		o.Logger.Info("taking OTLP/HTTP", "address", g.http.Addr().String(), "tls", o.Config.HTTP.TLS.Enabled(), "stored_as", policy.Name())
	}
	a.OnStop("stop taking, finish OTLP requests", stopReceivers, g.stop) // before its servers are waited for
	return g, nil
}

// Prepare makes ready for other limits, as far as those can change while it runs;
// see receiver.Intake.
func (g *Gateway) Prepare(c Config) (apply func(), err error) {
	return func() { g.intake.RejectBadUTF8(c.Limits.RejectBadUTF8) }, nil
}

// InFlightBytes is the metric of the admission budget in use.
func InFlightBytes(read func() int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "penstock_receiver_in_flight_bytes",
		Help: "Bytes of requests being received or waiting for their commit."}, func() float64 { return float64(read()) })
}

func (o *Options) tls(name string) config.TLSUse {
	return config.TLSUse{Name: name, Logger: o.Logger, Files: o.TLSFiles}
}

func (g *Gateway) listen(ctx context.Context, o Options) (err error) {
	if c := o.Config.GRPC; c.Listen != "" {
		t, err := c.TLS.Config(o.tls("gateway.grpc.tls"), "h2")
		if err != nil {
			return fmt.Errorf("gateway.grpc.tls: %w", err)
		}
		if g.grpc, err = receiver.NewGRPC(ctx, c, g.intake, t); err != nil {
			return err
		}
	}
	if c := o.Config.HTTP; c.Listen != "" {
		t, err := c.TLS.Config(o.tls("gateway.http.tls"), "h2", "http/1.1")
		if err != nil {
			return fmt.Errorf("gateway.http.tls: %w", err)
		}
		if g.http, err = receiver.NewHTTP(ctx, c, g.intake, t, o.Logger); err != nil {
			return err
		}
	}
	return nil
}

// stop ends both servers at the same time; what they have taken is answered.
func (g *Gateway) stop(ctx context.Context) error {
	g.intake.Drain()
	defer g.intake.Close()
	var group errgroup.Group
	if g.grpc != nil {
		group.Go(func() error { return g.grpc.Stop(ctx) })
	}
	if g.http != nil {
		group.Go(func() error { return g.http.Stop(ctx) })
	}
	return group.Wait()
}

// GRPCAddr is the bound address, nil without that listener.
func (g *Gateway) GRPCAddr() net.Addr {
	if g.grpc == nil {
		return nil
	}
	return g.grpc.Addr()
}

// HTTPAddr is the bound address, nil without that listener.
func (g *Gateway) HTTPAddr() net.Addr {
	if g.http == nil {
		return nil
	}
	return g.http.Addr()
}
