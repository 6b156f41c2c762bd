// Package otlpgrpc delivers to an OTLP/gRPC server, over a pool of connections.
//
//   - A request is delivered once the server answered OK. Everything else is an
//     *exporter.Error, judged by the table of the specification.
//   - A request that the queue holds in the compression of the wire is sent as
//     it is: compressed once, by the gateway. Any other is compressed anew.
//   - No byte of a request is read after Export returned.
//   - Values of headers are in no error, not even where the server repeats them.
//
// Where the server said nothing the Code is "no_connection", "timeout",
// "canceled" (the caller gave up), "busy" (every connection carried as much as
// it may), "no_token" (the credential gave none), "too_large" (never sent, over
// MaxRequestBytes), "undecodable" (what the queue held) or "bad_response".
package otlpgrpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// Exporter delivers to one destination.
type Exporter struct {
	cfg     Config
	headers outgoing.Headers
	bodies  *outgoing.Bodies
	pool    *pool.Pool
}

var _ exporter.Exporter = (*Exporter)(nil)

// New starts to connect and returns; a destination that is down is no error.
func New(cfg Config) (*Exporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	x := &Exporter{cfg: cfg}
	var err error
	if x.headers, err = outgoing.NewHeaders(cfg.Headers); err != nil {
		return nil, err
	}
	if x.bodies, err = outgoing.NewBodies(wireCodec(cfg.Compression), cfg.CompressionLevel, cfg.MaxRequestBytes); err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if cfg.TLS != nil {
		creds = freshTLS{cfg.TLS}
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(cfg.UserAgent),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(grpcwire.Codec{}), grpc.MaxCallRecvMsgSize(maxResponse)),
		// Bodies are large and answers small.
		grpc.WithWriteBufferSize(128 << 10),
		grpc.WithReadBufferSize(16 << 10),
	}
	if cfg.Compression != codec.None {
		opts = append(opts, grpcwire.ShipCompressor(cfg.Compression))
	}
	cfg.Pool.DialOptions = append(opts, cfg.Pool.DialOptions...)
	if x.pool, err = pool.New(cfg.Pool); err != nil {
		return nil, fmt.Errorf("destination %q: %w", cfg.Name, err)
	}
	return x, nil
}

// Export delivers one request; see exporter.Exporter.
func (x *Exporter) Export(ctx context.Context, r *exporter.Request) (exporter.Result, error) {
	body, err := x.bodies.Of(r)
	if err != nil {
		return exporter.Result{}, err
	}
	frame := newFrame(body)
	defer frame.Free()

	ctx, cancel := context.WithTimeout(ctx, x.cfg.Timeout)
	defer cancel()
	result, disbelieved, err := x.try(ctx, r, frame)
	if disbelieved != "" && x.cfg.Credential.Refused(disbelieved) {
		result, _, err = x.try(ctx, r, frame)
	}
	return result, err
}

// try makes one call. disbelieved is the authorization that the server did not
// believe, "" when that was not the matter.
func (x *Exporter) try(ctx context.Context, r *exporter.Request, frame *grpcwire.Frame) (result exporter.Result, disbelieved string, err error) {
	c := call{started: time.Now()}
	if ctx, c.authorization, err = x.withHeaders(ctx, r); err != nil {
		return result, "", &exporter.Error{Kind: exporter.Retryable, Code: "no_token",
			Err: fmt.Errorf("destination %q: no token to authenticate with: %w", x.cfg.Name, err)}
	}
	reply := grpcwire.Frame{KeepCompressed: true, Pool: x.bodies.Pool()}
	defer reply.Free()
	err = x.pool.Invoke(ctx, grpcwire.Method(r.Signal), frame, &reply,
		grpc.Peer(&c.peer), grpc.Header(&c.header), grpc.Trailer(&c.trailer))
	switch {
	case err == nil:
		result, err = x.result(&c, &reply)
		return result, "", err
	case status.Code(err) == codes.Unauthenticated && c.answered():
		disbelieved = c.authorization
	}
	return result, disbelieved, x.failure(ctx, &c, err)
}

// call is what is known of one call beside its outcome.
type call struct {
	started         time.Time
	authorization   string
	peer            peer.Peer
	header, trailer metadata.MD
}

// newFrame takes over the release of body.
func newFrame(body outgoing.Body) *grpcwire.Frame {
	if body.Stored {
		// It goes through the compressor of ShipCompressor, whose output is a
		// copy: no reference outlives the call.
		return grpcwire.NewFrame(body.Data)
	}
	return grpcwire.NewFrameRelease(body.Data, body.Release)
}

func (x *Exporter) withHeaders(ctx context.Context, r *exporter.Request) (context.Context, string, error) {
	md := make(metadata.MD)
	x.headers.All(func(name, value string) { md.Append(name, value) })
	for _, h := range r.Header {
		md.Set(h.Name, h.Value)
	}
	if x.cfg.TenantHeader != "" && r.Tenant != "" {
		md.Set(x.cfg.TenantHeader, outgoing.TenantValue(r.Tenant))
	}
	authorization := ""
	if x.cfg.Credential != nil {
		var err error
		if authorization, err = x.cfg.Credential.Authorization(ctx); err != nil {
			return ctx, "", err
		}
		md.Set("authorization", authorization)
	}
	return metadata.NewOutgoingContext(ctx, md), authorization, nil
}

// result reads the answer to a request that the server took. One that cannot be
// read changes nothing in that: it is a warning. One over the limit is a
// failure, as the specification has it (OTLP 1.11, "Size limits").
func (x *Exporter) result(c *call, reply *grpcwire.Frame) (exporter.Result, error) {
	if err := reply.Decompress(maxResponse); err != nil {
		if grpcTooLarge(err) {
			return exporter.Result{}, x.responseTooLarge(err)
		}
		return exporter.Result{Message: x.headers.Message(fmt.Sprintf("delivered, but the answer cannot be read: %v", err), c.authorization)}, nil
	}
	b, release := reply.Bytes(nil)
	defer release()
	rejected, message, err := otlp.ParseResponse(b)
	if err != nil {
		return exporter.Result{Message: fmt.Sprintf("delivered, but the answer cannot be read: %v", err)}, nil
	}
	return exporter.Result{Rejected: rejected, Message: x.headers.Message(message, c.authorization)}, nil
}

// Stats of the connections.
func (x *Exporter) Stats() pool.Stats { return x.pool.Stats() }

// Close waits for calls in flight, as long as one may take, and closes the
// connections.
func (x *Exporter) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), x.cfg.Timeout)
	defer cancel()
	err := x.pool.Close(ctx)
	if x.cfg.Credential != nil {
		x.cfg.Credential.Close()
	}
	return err
}

// PrepareHeaders makes ready for other headers, which exports carry from apply on;
// see outgoing.Headers. Connections stay.
func (x *Exporter) PrepareHeaders(list []outgoing.Header) (apply func(), err error) {
	return x.headers.Prepare(list)
}
