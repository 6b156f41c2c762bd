package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// Flow control is static: no BDP pings. A stream may have one window unread, a
// connection twice that.
const (
	streamWindow = 1 << 20
	connWindow   = 2 << 20
)

// GRPCConfig of the OTLP/gRPC listener.
type GRPCConfig struct {
	Listen               string           `yaml:"listen" help:"Address of the OTLP/gRPC listener. Empty: none."`
	TLS                  config.TLSServer `yaml:"tls"`
	MaxConcurrentStreams int              `yaml:"max_concurrent_streams" help:"Calls at a time on one connection."`
	MaxConnectionAge     config.Duration  `yaml:"max_connection_age" help:"A connection is asked to reconnect after this time, so that clients spread over gateways. 0s: never."`
}

// DefaultGRPC listens on loopback.
func DefaultGRPC() GRPCConfig {
	return GRPCConfig{Listen: "127.0.0.1:4317", MaxConcurrentStreams: 250, MaxConnectionAge: config.Duration(10 * time.Minute)}
}

// Validate answers in the user's keys.
func (c GRPCConfig) Validate() error {
	if c.MaxConcurrentStreams < 1 || c.MaxConcurrentStreams > 10000 {
		return fmt.Errorf("max_concurrent_streams is %d: want 1 to 10000", c.MaxConcurrentStreams)
	}
	if c.MaxConnectionAge < 0 {
		return fmt.Errorf("max_connection_age is %s: want 0s or more", c.MaxConnectionAge)
	}
	return nil
}

// GRPC is the OTLP/gRPC server.
type GRPC struct {
	intake *Intake
	server *grpc.Server
	health *health.Server
	pool   *grpcwire.MeteredPool
	listen net.Listener
}

// NewGRPC listens at once, so that a taken port is an error at the start.
func NewGRPC(ctx context.Context, c GRPCConfig, in *Intake, tlsConfig *tls.Config) (*GRPC, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for OTLP/gRPC on gateway.grpc.listen: %w", err)
	}
	g := &GRPC{intake: in, pool: grpcwire.NewMeteredPool(0), health: health.NewServer()}
	g.listen = &gate{Listener: l, inUse: g.pool.InUse, limit: int64(in.limits.MaxInFlightBytes) * 2,
		patience: 5 * time.Second, closed: in.metrics.pressureClosed.Inc}
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(grpcwire.Codec{}),
		grpc.MaxRecvMsgSize(int(in.limits.MaxRequestBytes)),
		grpc.MaxConcurrentStreams(uint32(c.MaxConcurrentStreams)),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ReadBufferSize(64 << 10),
		grpc.WriteBufferSize(4 << 10),
		grpc.SharedWriteBuffer(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: time.Duration(c.MaxConnectionAge), MaxConnectionAgeGrace: time.Minute}),
		experimental.BufferPool(g.pool),
	}
	if tlsConfig != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(tlsConfig)))
	}
	g.server = grpc.NewServer(options...)
	healthpb.RegisterHealthServer(g.server, g.health)
	for _, s := range otlp.Signals {
		g.server.RegisterService(grpcwire.ServiceDesc(s, g.export), nil)
	}
	return g, nil
}

// Addr is the bound address.
func (g *GRPC) Addr() net.Addr { return g.listen.Addr() }

// Serve answers until Stop.
func (g *GRPC) Serve() error { return g.server.Serve(g.listen) }

// Stop ends taking and waits for calls in flight, until ctx ends; then it cuts
// what is left.
func (g *GRPC) Stop(ctx context.Context) error {
	g.health.Shutdown()
	done := make(chan struct{})
	go func() {
		g.server.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		g.server.Stop()
		<-done
		return errors.New("OTLP/gRPC calls were cut before their answer: their clients will send again")
	}
}

// export is one call of a signal's Export.
func (g *GRPC) export(ctx context.Context, s otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
	in := g.intake
	if r := in.admit(); r != nil {
		return nil, in.refused(s, transportGRPC, 0, r)
	}
	frame := grpcwire.Frame{KeepCompressed: true, Pool: g.pool}
	if err := recv(&frame); err != nil {
		return nil, in.refused(s, transportGRPC, 0, receiveRefusal(ctx, err, int(in.limits.MaxRequestBytes)))
	}
	held := claim{a: &in.admission}
	defer held.release()
	if r := g.unpack(ctx, &frame, &held); r != nil {
		frame.Free()
		return nil, in.refused(s, transportGRPC, 0, r)
	}
	payload, free := frame.Bytes(g.pool)
	frame.Free()
	// The buffer is the message's alone: the check may repair text in it.
	result, r := in.accept(ctx, transportGRPC, s, payload, free)
	if r != nil {
		return nil, r
	}
	return otlp.AppendResponse(nil, s, int64(result.Rejected), result.Why), nil
}

// unpack decompresses a message with memory that was claimed before.
func (g *GRPC) unpack(ctx context.Context, f *grpcwire.Frame, held *claim) *otlp.Refusal {
	limit := int(g.intake.limits.MaxRequestBytes)
	packed := f.Len()
	if r := held.grow(packed); r != nil || f.Encoding == "" {
		return r
	}
	declared := f.DeclaredLen()
	if declared > limit {
		return tooLarge(limit, "the message after decompression")
	}
	room := declared
	if declared < 0 {
		room = min(limit, max(inflation*packed, 64<<10))
	}
	for ; ; room = min(limit, 4*room) {
		if r := held.grow(packed + room); r != nil {
			return r
		}
		err := f.Decompress(room)
		if err == nil {
			held.shrink(f.Len())
			return nil
		}
		if _, large, _ := grpcwire.ReceiveProblem(err); !large || room >= limit {
			return receiveRefusal(ctx, err, limit)
		}
	}
}

// receiveRefusal is the answer when gRPC could not hand the message over.
func receiveRefusal(ctx context.Context, err error, limit int) *otlp.Refusal {
	malformed, tooLarge, encoding := grpcwire.ReceiveProblem(err)
	switch {
	case malformed:
		return otlp.Refuse(otlp.ReasonMalformed, err, "the message could not be received: %v", err)
	case tooLarge:
		return otlp.Refuse(otlp.ReasonTooLarge, err, "the message is larger than the limit of %d bytes, compressed or not: send smaller batches", limit)
	case encoding:
		return otlp.Refuse(otlp.ReasonUnsupportedEncoding, err, "%v; use gzip, zstd, snappy or none", err)
	case ctx.Err() != nil:
		return otlp.AsRefusal(ctx.Err())
	}
	return otlp.Refuse(otlp.ReasonMalformed, err, "the message could not be received: %v", err)
}
