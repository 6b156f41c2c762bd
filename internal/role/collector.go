package role

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// How far the heap may grow beyond what lives: by a quarter, since nearly all of it
// are pooled buffers without pointers, which cost the collector next to nothing;
// and by leastGrowth anyhow, or a calm process would collect every few megabytes,
// and each time keep requests waiting.
const (
	gcPercent   = 25
	leastGrowth = 16 << 20
)

// tuneCollector sets how far the heap grows, now and after each collection, unless
// the operator says so by GOGC. GOMEMLIMIT is the runtime's own.
var tuneCollector = sync.OnceFunc(func() {
	if os.Getenv("GOGC") == "" {
		afterCollection()
	}
})

// afterCollection is called again after the next one: when cycle is collected.
func afterCollection() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(growth(live[0].Value.Uint64()))
	cycle := new([64]byte)
	runtime.AddCleanup(cycle, func(struct{}) { afterCollection() }, struct{}{})
}

// growth is GOGC for a heap of which so many bytes live.
func growth(live uint64) int {
	return max(gcPercent, int(100*leastGrowth/max(live, 4<<20)))
}
