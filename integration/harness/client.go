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
	send, end, err := OpenClient(grpcAddr, httpAddr, overGRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("close a client: %v", err)
		}
	})
	return send
}

// OpenClient is Client for a process without a test.
func OpenClient(grpcAddr, httpAddr string, overGRPC bool) (send, end func() error, err error) {
	g := sample.New(1, sample.Shape{Source: sources.Add(1)})
	turn := 0
	next := func() (otlp.Signal, []byte) {
		sig := otlp.Signals[turn%len(otlp.Signals)]
		turn++
		return sig, g.Append(nil, sig, 20, time.Now())
	}
	if overGRPC {
		conn, err := newConn(grpcAddr)
		if err != nil {
			return nil, nil, err
		}
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			sig, b := next()
			return invoke(ctx, conn, sig, b)
		}, conn.Close, nil
	}
	web := &http.Client{Transport: &http.Transport{}}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		sig, b := next()
		return post(ctx, web, httpAddr, sig, "application/x-protobuf", "", b)
	}, func() error { web.CloseIdleConnections(); return nil }, nil
}
