package load

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// few is up to how many connections each gets buffers that make it fast; more
// get small ones, or a thousand would be a gigabyte.
const few = 64

// sender sends one encoded request, and frees it. Safe for concurrent use.
type sender interface {
	send(ctx context.Context, req *grpcwire.Frame, tenant string) error
	close() error
}

type grpcSender struct {
	conn   *grpc.ClientConn
	method string
}

func dialOptions(o Options) []grpc.DialOption {
	call := []grpc.CallOption{grpc.ForceCodecV2(grpcwire.Codec{})}
	if o.Compression != "none" {
		call = append(call, grpc.UseCompressor(o.Compression)) // registered by grpcwire
	}
	d := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(call...), grpc.WithIdleTimeout(0)}
	if o.Connections+o.Idle <= few {
		return append(d, grpc.WithStaticStreamWindowSize(1<<20), grpc.WithStaticConnWindowSize(4<<20), grpc.WithWriteBufferSize(128<<10))
	}
	// Windows are of what is received, which are replies of some bytes.
	return append(d, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10),
		grpc.WithWriteBufferSize(16<<10), grpc.WithReadBufferSize(4<<10))
}

func newGRPC(o Options, sig otlp.Signal) (*grpcSender, error) {
	conn, err := grpc.NewClient(o.Target, dialOptions(o)...)
	if err != nil {
		return nil, err
	}
	return &grpcSender{conn, grpcwire.Method(sig)}, nil
}

// connect returns when the connection stands.
func (s *grpcSender) connect(ctx context.Context) error {
	s.conn.Connect()
	for {
		state := s.conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return errors.New("the connection was closed")
		}
		if !s.conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}

func (s *grpcSender) close() error { return s.conn.Close() }

func (s *grpcSender) send(ctx context.Context, req *grpcwire.Frame, tenant string) error {
	defer req.Free()
	if tenant != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-scope-orgid", tenant)
	}
	var reply grpcwire.Frame
	defer reply.Free()
	if err := s.conn.Invoke(ctx, s.method, req, &reply); err != nil {
		return err
	}
	if reply.Len() == 0 {
		return nil
	}
	return accepted(reply.Data.Materialize())
}
