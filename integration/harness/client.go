package harness

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// Client sends requests of 20 items, one a call, over a connection of its own,
// gRPC or HTTP. A request that is not taken whole within 10 s is an error.
func Client(t testing.TB, grpcAddr, httpAddr string, overGRPC bool) (send func() error) {
	t.Helper()
	g := sample.New(1, sample.Shape{Source: sources.Add(1)})
	turn := 0
	next := func() (otlp.Signal, []byte) {
		sig := otlp.Signals[turn%len(otlp.Signals)]
		turn++
		return sig, g.Append(nil, sig, 20, time.Now())
	}
	if overGRPC {
		conn := dial(t, grpcAddr)
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Errorf("close a client: %v", err)
			}
		})
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			sig, b := next()
			return invoke(ctx, conn, sig, b)
		}
	}
	web := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(web.CloseIdleConnections)
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		sig, b := next()
		return post(ctx, web, httpAddr, sig, "application/x-protobuf", "", b)
	}
}
