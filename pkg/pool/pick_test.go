package pool

import (
	"context"
	"testing"

	"google.golang.org/grpc/connectivity"
)

// BenchmarkPick is what the pool adds to a call: choosing among all the
// connections there may be, and taking note of the outcome.
func BenchmarkPick(b *testing.B) {
	p := &Pool{cfg: Config{Endpoints: []string{"a"}, MaxConnections: MaxConnectionsLimit}.WithDefaults(), draining: map[*conn]struct{}{}}
	for i := range MaxConnectionsLimit {
		p.conns = append(p.conns, &conn{state: connectivity.Ready, health: healthServing, inFlight: i % 8, endpoint: &endpoint{}})
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		c, err := p.acquire(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.release(ctx, c, true, nil); err != nil {
			b.Fatal(err)
		}
	}
}
