package pressure

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
)

// every is the pace at which the disk is asked and new views are taken.
const every = time.Second

// stale is the age of a view that says nothing any more: the queue itself decides
// then.
const stale = 6 * queuewatch.Every

// Options are what a guard works with.
type Options struct {
	// View is the last look at the queue.
	View func() queuewatch.View
	// Disk is that under an embedded queue; nil when it is elsewhere.
	Disk    Disk
	Plan    topology.Plan
	Metrics *Metrics
	Logger  *slog.Logger
}

// Guard decides. Refuse is safe for concurrent use, while Run works.
type Guard struct {
	o       Options
	streams map[string]*stream
	disk    level
	free    uint64 // on the disk, at the last time
	failed  bool   // the disk could not be asked, which was said

	verdicts [otlp.NumSignals]atomic.Pointer[verdict]
	waits    [otlp.NumSignals]atomic.Int64 // of a queue that refused by itself; ns
}

// stream is one of the queue.
type stream struct {
	level
	seen queuewatch.Stream
}

// verdict is a refusal to be; nil lets in.
type verdict struct {
	message string
	wait    time.Duration
}

// New makes a guard that lets everything in until Run has seen otherwise.
func New(o Options) *Guard {
	g := &Guard{o: o, streams: map[string]*stream{}}
	for _, s := range otlp.Signals {
		o.Metrics.refusing.WithLabelValues(s.String())
	}
	return g
}

// Refuse is nil when requests of the signal may come in. It costs a load.
func (g *Guard) Refuse(s otlp.Signal) *otlp.Refusal {
	v := g.verdicts[s].Load()
	if v == nil {
		return nil
	}
	return otlp.Refuse(otlp.ReasonQueueFull, nil, "%s", v.message).WithRetryAfter(jitter(v.wait))
}

// RetryAfter is the wait to ask of a client whose data the queue itself refused
// (ErrFull): until the signal's streams have room, by the rate at which they are
// freed. 0: not known. It costs a load.
func (g *Guard) RetryAfter(s otlp.Signal) time.Duration {
	d := time.Duration(g.waits[s].Load())
	if d <= 0 {
		return 0
	}
	return jitter(d)
}

// jitter spreads clients that were refused together over a quarter more.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/4+1) }

// Run looks until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	for t := time.NewTicker(every); ; {
		g.look()
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

func (g *Guard) look() {
	g.lookAtDisk()
	v := g.o.View()
	current := !v.At.IsZero() && time.Since(v.At) <= stale
	if current {
		for _, s := range v.Streams {
			g.lookAtStream(v.At, s)
		}
	}
	for _, s := range otlp.Signals {
		refuse := g.judge(s, current)
		g.verdicts[s].Store(refuse)
		g.waits[s].Store(int64(g.full(s, current)))
		is := 0.0
		if refuse != nil {
			is = 1
		}
		g.o.Metrics.refusing.WithLabelValues(s.String()).Set(is)
	}
}

func (g *Guard) lookAtDisk() {
	if g.o.Disk == nil {
		return
	}
	free, size, err := g.o.Disk()
	if err != nil {
		if !g.failed {
			g.o.Logger.Error("the space under the queue is not known: requests are not refused before it is full", "error", err)
		}
		g.failed, g.disk = true, level{}
		return
	}
	g.failed = false
	least := need(size)
	g.o.Metrics.needed.Set(float64(least))
	freed := 0.0
	if free > g.free {
		freed = float64(free - g.free)
	}
	used := float64(size) - float64(free)
	changed := g.disk.set(time.Now(), used, float64(size)-float64(least), float64(size)-1.1*float64(least), freed)
	g.free = free
	switch args := []any{"free_bytes", free, "needed_bytes", least, "size_bytes", size}; {
	case changed && g.disk.refusing:
		g.o.Logger.Warn("requests are refused: the volume of queue.dir is nearly full; free space and it goes on by itself", args...)
	case changed:
		g.o.Logger.Info("the volume of queue.dir has space again: requests are taken", args...)
	}
}

func (g *Guard) lookAtStream(at time.Time, now queuewatch.Stream) {
	s := g.streams[now.Name]
	if s == nil {
		s = &stream{seen: now}
		g.streams[now.Name] = s
	}
	if at.Equal(s.at) || now.MaxBytes <= 0 {
		return
	}
	freed := 0.0
	if now.FirstSeq > s.seen.FirstSeq && s.seen.Messages > 0 {
		freed = float64(now.FirstSeq-s.seen.FirstSeq) * float64(s.seen.Bytes) / float64(s.seen.Messages)
	}
	limit := float64(now.MaxBytes)
	changed := s.set(at, float64(now.Bytes), limit*refuseAt/100, limit*resumeAt/100, freed)
	s.seen = now
	g.o.Metrics.rate.WithLabelValues(now.Name).Set(s.rate)
	switch args := []any{"stream", now.Name, "bytes", now.Bytes, "max_bytes", now.MaxBytes, "freed_bytes_per_second", int64(s.rate)}; {
	case changed && s.refusing:
		g.o.Logger.Warn("a stream is nearly full: the destinations do not take what comes in", args...)
	case changed:
		g.o.Logger.Info("a stream has room again", args...)
	}
}

// full is the wait of a signal that the queue refuses: that of the stream that is
// free first.
func (g *Guard) full(s otlp.Signal, current bool) (least time.Duration) {
	if g.disk.refusing {
		return g.disk.wait()
	}
	if !current {
		return 0
	}
	for _, name := range g.o.Plan.Streams(s) {
		l := g.streams[name]
		if l == nil {
			continue
		}
		wait := leastWait // it filled since it was seen
		if l.excess > 0 {
			wait = l.wait()
		}
		if least == 0 || wait < least {
			least = wait
		}
	}
	return least
}

// judge refuses a signal of whose streams none has room.
func (g *Guard) judge(s otlp.Signal, current bool) *verdict {
	if g.disk.refusing {
		return &verdict{wait: g.disk.wait(), message: fmt.Sprintf("the volume of the queue is nearly full: %d bytes are left", g.free)}
	}
	if !current {
		return nil
	}
	var v *verdict
	for _, name := range g.o.Plan.Streams(s) {
		l := g.streams[name]
		if l == nil || !l.refusing {
			return nil
		}
		if w := l.wait(); v == nil || w < v.wait {
			v = &verdict{wait: w, message: fmt.Sprintf("the queue is nearly full: stream %s holds %d of %d bytes that its destinations have not taken, or that are kept for replay",
				name, l.seen.Bytes, l.seen.MaxBytes)}
		}
	}
	return v
}
