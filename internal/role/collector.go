package role

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
)

// How far the heap may grow beyond what lives. By a seventh, since nearly all of it
// are pooled buffers without pointers, which cost the collector next to nothing; and
// by leastGrowth anyhow, or a calm process would collect every few megabytes, and
// each time keep requests waiting. Where collecting does cost, with thousands of
// connections, further.
const (
	leastPercent = 15
	mostPercent  = 40
	leastGrowth  = 10 << 20
)

// What of the processor's time collections may take: above dear the heap is let grow
// further, below cheap it is held tighter.
const (
	dear  = 0.15
	cheap = 0.05
)

// settled is how long after its start a process is taken to have touched what only
// the start needs.
const settled = 5 * time.Second

// releaseImage gives back what of the executable the start alone needed.
func (b *base) releaseImage() {
	b.app.Go("release the pages that the start needed", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settled):
		}
		released, err := app.ReleaseImage()
		if err != nil {
			b.log.Warn("the pages of the executable that only the start needed are not released: more memory is used", "error", err)
			return nil
		}
		b.log.Debug("pages of the executable released", "bytes", released)
		return nil
	})
}

// tuneCollector sets how far the heap grows, now and after each collection, unless
// the operator says so by GOGC. GOMEMLIMIT is the runtime's own.
var tuneCollector = sync.OnceFunc(func() {
	if os.Getenv("GOGC") == "" {
		(&collector{percent: leastPercent}).collected()
	}
})

// collector is called from one goroutine at a time.
type collector struct {
	percent  float64
	gc, user float64 // seconds of processor time until the last collection
}

// collected is called again after the next one: when cycle is collected.
func (c *collector) collected() {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/user:cpu-seconds"}}
	metrics.Read(s)
	gc, user := s[1].Value.Float64(), s[2].Value.Float64()
	c.adapt(gc-c.gc, user-c.user)
	c.gc, c.user = gc, user
	debug.SetGCPercent(c.growth(s[0].Value.Uint64()))
	cycle := new([64]byte)
	runtime.AddCleanup(cycle, func(struct{}) { c.collected() }, struct{}{})
}

// adapt takes the seconds that one cycle and what ran meanwhile took.
func (c *collector) adapt(gc, user float64) {
	switch share := gc / max(gc+user, 1e-6); {
	case share > dear:
		c.percent = min(c.percent*1.1, mostPercent)
	case share < cheap:
		c.percent = max(c.percent*0.97, leastPercent)
	}
}

// growth is GOGC for a heap of which so many bytes live.
func (c *collector) growth(live uint64) int {
	least := 100 * leastGrowth / float64(max(live, 4<<20)) * c.percent / leastPercent
	return int(max(c.percent, least))
}
