package pool_test

import (
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/pool"
)

// BenchmarkInvoke is a whole call to a server in the same process; BenchmarkPick
// is the share of the pool.
func BenchmarkInvoke(b *testing.B) {
	s := serve(b, "127.0.0.1:0", nil)
	p := newPool(b, pool.Config{Endpoints: []string{s.addr}, MinConnections: 2})
	b.ReportAllocs()
	for b.Loop() {
		if err := do(p, time.Second); err != nil {
			b.Fatal(err)
		}
	}
}
