package receiver

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// watchGrace is how long a watch lasts after the stop began, so that its client
// hears of it.
const watchGrace = 500 * time.Millisecond

// healthServer is grpc.health.v1, by gRPC's own implementation, whose watches
// end with the server: a graceful stop waits for every stream, and a watch has
// no end of its own.
type healthServer struct {
	*health.Server
	stopping context.Context
	stopped  context.CancelFunc
}

func newHealth() *healthServer {
	h := &healthServer{Server: health.NewServer()}
	h.stopping, h.stopped = context.WithCancel(context.Background())
	return h
}

// stop tells watchers that nothing is served any more.
func (h *healthServer) stop() {
	h.Shutdown()
	h.stopped()
}

// Watch implements grpc.health.v1.Health.
func (h *healthServer) Watch(r *healthpb.HealthCheckRequest, s grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	ctx, end := context.WithCancel(s.Context())
	defer end()
	defer context.AfterFunc(h.stopping, func() {
		select {
		case <-time.After(watchGrace):
			end()
		case <-ctx.Done():
		}
	})()
	return h.Server.Watch(r, watch{s, ctx})
}

type watch struct {
	grpc.ServerStreamingServer[healthpb.HealthCheckResponse]
	ctx context.Context
}

func (w watch) Context() context.Context { return w.ctx }
