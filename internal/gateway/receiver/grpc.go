package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/experimental"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// Flow control is static: no BDP pings. A stream may have one window unread, a
// connection twice that.
const (
	streamWindow = 1 << 20
	connWindow   = 2 << 20
)

// Bounds on connections, for peers that are slow or gone.
const (
	handshakeTimeout = 20 * time.Second
	maxHeaderBytes   = 64 << 10
	// gatePatience is how long connections wait for half-received messages of
	// others before these are ended.
	gatePatience = 5 * time.Second
)

// GRPC is the OTLP/gRPC server.
type GRPC struct {
	intake    *Intake
	server    *grpc.Server
	health    *healthServer
	pool      *grpcwire.MeteredPool
	receiving receiving
	listen    *handshakes

	relieving sync.Mutex // held by the one that relieves
	relieved  time.Time  // relieving
}

// NewGRPC listens at once, so that a taken port is an error at the start.
func NewGRPC(ctx context.Context, c GRPCConfig, in *Intake, tlsConfig *tls.Config) (*GRPC, error) {
	return newGRPC(ctx, c, in, tlsConfig, gatePatience)
}

func newGRPC(ctx context.Context, c GRPCConfig, in *Intake, tlsConfig *tls.Config, patience time.Duration) (*GRPC, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for OTLP/gRPC: %w; change gateway.grpc.listen", err)
	}
	g := &GRPC{intake: in, pool: in.buffers(), health: newHealth(),
		receiving: receiving{timeout: time.Duration(c.ReadTimeout)}}
	g.listen = &handshakes{Listener: &gate{
		Listener: in.capped(readAheads{l}, transportGRPC),
		inUse:    g.pool.InUse, limit: 2 * int64(in.limits.MaxInFlightBytes), patience: patience,
		crowd:   func() int64 { return g.pool.InUse() + in.InFlightBytes() },
		crowded: int64(in.limits.MaxInFlightBytes) / 4, heavy: largeBytes, turn: make(chan struct{}, 1),
		relieve: func() { g.relieve(patience) }, waited: in.metrics.gateWaits.Inc,
		abused: in.metrics.connections.WithLabelValues(transportGRPC, "calls_given_up").Inc,
	}}
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(grpcwire.Codec{}),
		grpc.UnknownServiceHandler(g.unknown),
		grpc.InTapHandle(g.receiving.tap),
		grpc.MaxRecvMsgSize(int(in.limits.MaxRequestBytes)),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(uint32(c.MaxConcurrentStreams)),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ReadBufferSize(0), // connections read ahead, see readAheads
		grpc.WriteBufferSize(4 << 10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Duration(c.Keepalive.MinTime), PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Duration(c.Keepalive.Time), Timeout: time.Duration(c.Keepalive.Timeout),
			MaxConnectionIdle: time.Duration(c.MaxConnectionIdle), MaxConnectionAge: time.Duration(c.MaxConnectionAge),
			MaxConnectionAgeGrace: time.Duration(c.MaxConnectionAgeGrace)}),
		experimental.BufferPool(g.pool),
	}
	if tlsConfig != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(tlsConfig)))
	}
	g.server = grpc.NewServer(options...)
	healthpb.RegisterHealthServer(g.server, g.health)
	for _, s := range otlp.Signals {
		d := grpcwire.ServiceDesc(s, g.export)
		g.server.RegisterService(d, nil)
		g.health.SetServingStatus(d.ServiceName, healthpb.HealthCheckResponse_SERVING)
	}
	return g, nil
}

// Addr is the bound address.
func (g *GRPC) Addr() net.Addr { return g.listen.Addr() }

// Serve answers until Stop.
func (g *GRPC) Serve() error {
	if err := g.server.Serve(g.listen); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil // stopped before it began
}

// Stop ends taking and waits for calls in flight, until ctx ends; then it cuts
// what is left.
func (g *GRPC) Stop(ctx context.Context) error {
	g.health.stop()
	done := make(chan struct{})
	go func() {
		g.server.GracefulStop()
		close(done)
	}()
	g.listen.stop()
	select {
	case <-done:
		return closeListener(g.listen)
	case <-ctx.Done():
		g.server.Stop()
		<-done
		return errors.Join(errors.New("OTLP/gRPC calls were cut before their answer: their clients will send again"), closeListener(g.listen))
	}
}

// closeListener is for a server that was never served: it does not know its
// listener.
func closeListener(l net.Listener) error {
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// relieve ends the calls that wait for the rest of their messages while these
// fill the buffers. Of a call that ended gRPC may drop what it had not read,
// which counts until it is collected. Every connection that waits calls it, one
// in a patience is enough.
func (g *GRPC) relieve(patience time.Duration) {
	if !g.relieving.TryLock() {
		return
	}
	defer g.relieving.Unlock()
	if time.Since(g.relieved) < patience/2 {
		return
	}
	g.receiving.end(patience, errPressure)
	runtime.GC()
	g.relieved = time.Now()
}

// unknown answers calls of methods that are not OTLP's, or not of a signal that
// is taken.
func (g *GRPC) unknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	r := otlp.Refuse(otlp.ReasonNotFound, nil, "no method %s: this is OTLP 1.11, Export of traces, metrics and logs", method)
	g.intake.metrics.unknown(transportGRPC, r.Reason)
	return r
}

// export is one call of a signal's Export.
func (g *GRPC) export(ctx context.Context, s otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
	v, r := g.intake.enter(ctx, s, transportGRPC, g.knock(ctx))
	if r != nil {
		return nil, r
	}
	defer v.leave()
	frame := grpcwire.Frame{KeepCompressed: true, Pool: g.pool}
	received, ended := g.receiving.begin(ctx), beginOn(ctx)
	err := recv(&frame)
	received()
	ended(err == nil || ctx.Err() == nil)
	if err != nil {
		return nil, v.refused(0, receiveRefusal(ctx, err, int(g.intake.limits.MaxRequestBytes)))
	}
	if r := unpack(ctx, &frame, v); r != nil {
		frame.Free()
		return nil, v.refused(0, r)
	}
	if frame.Len() > largeBytes {
		if r := v.large(ctx); r != nil {
			frame.Free()
			return nil, v.refused(0, r)
		}
	}
	payload, free := frame.Bytes(g.pool)
	frame.Free()
	// The buffer is the message's alone: the check may repair text in it.
	result, r := v.accept(ctx, payload, free)
	if r != nil {
		return nil, r
	}
	return otlp.AppendResponse(nil, s, int64(result.Rejected), result.Why), nil
}

// beginOn is begin of the connection of a call.
func beginOn(ctx context.Context) (ended func(arrived bool)) {
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.Addr.(gatedAddr); ok {
			return a.begin()
		}
	}
	return func(bool) {}
}

// knock is what the headers and the connection of a call say.
func (g *GRPC) knock(ctx context.Context) knock {
	k := knock{listener: "otlp_grpc"}
	d := &g.intake.Door
	if h := d.header(); h != "" {
		k.tenants = metadata.ValueFromIncomingContext(ctx, h)
	}
	if d.Authenticate == nil {
		return k
	}
	tokens, keys := metadata.ValueFromIncomingContext(ctx, "authorization"), metadata.ValueFromIncomingContext(ctx, "x-api-key")
	k.doubled = len(tokens) > 1 || len(keys) > 1
	k.Authorization, k.Key = last(tokens), last(keys)
	if p, ok := peer.FromContext(ctx); ok {
		k.peer = p.Addr.String()
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			k.Certificate = leaf(&info.State)
		}
	}
	return k
}

// unpack decompresses a message with memory that was claimed before. As over
// HTTP, what is large is measured first.
func unpack(ctx context.Context, f *grpcwire.Frame, v *visit) *otlp.Refusal {
	limit, held := v.limit(), &v.held
	packed := f.Len()
	if packed > limit { // of the tenant; gRPC holds the gateway's own
		return tooLarge(limit, "the message")
	}
	if r := held.grow(packed); r != nil || f.Encoding == "" {
		return r
	}
	if packed > largePacked { // it came in pieces: together it has twice its memory for a moment
		if r := v.large(ctx); r != nil {
			return r
		}
	}
	room := firstRoom(f.DeclaredLen(), packed, limit)
	f.Pace = v.pace(ctx)
	for measured := false; ; {
		if room > trusted && !measured {
			if r := v.large(ctx); r != nil {
				return r
			}
			n, err := f.Measure(limit)
			if r := halt(err); r != nil {
				return r
			}
			if err != nil {
				return receiveRefusal(ctx, err, limit)
			}
			room, measured = max(n, 1), true
		}
		if r := held.grow(packed + room); r != nil {
			return r
		}
		err := f.Decompress(room)
		if r := halt(err); r != nil {
			return r
		}
		if err == nil {
			held.shrink(f.Len())
			return nil
		}
		if _, large, _ := grpcwire.ReceiveProblem(err); !large || measured || room >= limit {
			return receiveRefusal(ctx, err, limit)
		}
		room = trusted + 1 // asks for the measure
	}
}

// receiveRefusal is the answer to a message that did not arrive, or cannot be
// decompressed.
func receiveRefusal(ctx context.Context, err error, limit int) *otlp.Refusal {
	malformed, large, encoding := grpcwire.ReceiveProblem(err)
	switch {
	case large:
		return tooLarge(limit, "the message, compressed or not,")
	case encoding:
		return otlp.Refuse(otlp.ReasonUnsupportedEncoding, err, "%v; use gzip, zstd, snappy or none", err)
	case !malformed && ctx.Err() != nil:
		return gone(ctx)
	}
	return otlp.Refuse(otlp.ReasonMalformed, err, "the message could not be received: %v", err)
}
