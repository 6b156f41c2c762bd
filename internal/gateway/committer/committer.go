package committer

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// ErrStopped is the answer to Add after Stop began.
var ErrStopped = errors.New("the gateway is stopping and takes no more requests")

// Options are what a committer works with.
type Options struct {
	Config Config
	// Queue stores the groups.
	Queue queue.Publisher
	// Streams names the streams of each signal, one a shard.
	Streams [otlp.NumSignals][]string
	// Compression of the stored groups.
	Compression *codec.Policy
	Metrics     *Metrics
}

// Committer commits requests in groups. Safe for concurrent use.
type Committer struct {
	cfg         Config
	queue       queue.Publisher
	streams     [otlp.NumSignals][]string
	compression *codec.Policy
	metrics     *Metrics

	ctx    context.Context // of all publishes; ends when Stop gives up
	cancel context.CancelFunc
	lanes  [otlp.NumSignals]*lane
	spaces spaces
	bodies buffers // messages until they are confirmed, and parts of requests

	adding  sync.RWMutex // held for reading through Add
	stopped bool         // adding
	running sync.WaitGroup
}

// New makes a committer. It has no goroutines while idle.
func New(o Options) *Committer {
	c := &Committer{cfg: o.Config, queue: o.Queue, streams: o.Streams, compression: o.Compression, metrics: o.Metrics}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	slots := 0
	for _, s := range otlp.Signals {
		c.lanes[s] = &lane{c: c, signal: s, tenants: map[string]*tenant{}, busy: make([]int, len(o.Streams[s]))}
		slots += len(o.Streams[s]) * o.Config.CommitsInFlight
	}
	c.spaces = newSpaces(min(slots, runtime.GOMAXPROCS(0)))
	c.bodies.keep = slots
	return c
}

// Request is a checked request.
type Request struct {
	Signal  otlp.Signal
	Tenant  string
	Payload []byte
	Info    otlp.Info
	// OverQuota: its tenant sends more than it may. What it is let send gathers for
	// longer, so that it takes few commits from the others.
	OverQuota bool
	// Release is called exactly once, in every case, when the bytes of Payload are
	// not needed any more.
	Release func()
}

// Add joins a request to a group and returns the claim on its outcome. It takes
// Payload over and gives it back when its group was compressed and confirmed, or
// dropped, from any goroutine; before it returns when the bytes were copied, since
// they were cut or lay in much more memory than they need. Items above MaxItemBytes
// are rejected in the Result. It fails with ErrStopped, or when a request too large
// for a group would grow too much by being split.
func (c *Committer) Add(r Request) (Ticket, error) {
	kept := false
	defer func() {
		if !kept {
			r.Release()
		}
	}()
	c.adding.RLock()
	defer c.adding.RUnlock()
	if c.stopped {
		return Ticket{}, ErrStopped
	}
	l := c.lanes[r.Signal]
	if len(r.Payload) <= int(c.cfg.MaxBytes) {
		if cap(r.Payload) > 2*len(r.Payload)+slack {
			return Ticket{one: c.addCopy(l, &r, r.Payload, r.Info)}, nil
		}
		kept = true
		return Ticket{one: l.add(&r, r.Payload, r.Info, r.Release)}, nil
	}
	var t Ticket
	err := otlp.Split(r.Signal, r.Payload, int(c.cfg.MaxBytes), func(p []byte, info otlp.Info) error {
		if most := int(c.cfg.MaxItemBytes); most > 0 && len(p) > most {
			t.refuse(info.Items, len(p), most)
			return nil
		}
		if len(p) == len(r.Payload) { // it is Payload: nothing could be cut
			kept = true
			t.one = l.add(&r, p, info, r.Release)
			return nil
		}
		t.more = append(t.more, c.addCopy(l, &r, p, info))
		return nil
	})
	if err != nil {
		for _, p := range t.more {
			p.g.leave()
		}
		return Ticket{}, err
	}
	return t, nil
}

// slack is how much more memory than twice its size a request may lie in while it
// waits for its commit. A buffer of a pool is at most twice as large as what was
// asked for; one that something was decompressed into may be more.
const slack = 4 << 10

// addCopy adds what the caller will not keep.
func (c *Committer) addCopy(l *lane, r *Request, p []byte, info otlp.Info) part {
	own := append(c.bodies.get(len(p)), p...)
	return l.add(r, own, info, func() { c.bodies.put(own) })
}

// Stop refuses further requests, commits what is gathered, and waits for the
// confirmations. When ctx ends first it gives up: the tickets left get an
// error, their outcome is unknown, and the error says how many groups.
func (c *Committer) Stop(ctx context.Context) error {
	c.adding.Lock()
	c.stopped = true
	c.adding.Unlock()
	for _, l := range c.lanes {
		l.stop()
	}
	idle := make(chan struct{})
	go func() {
		c.running.Wait()
		close(idle)
	}()
	defer c.cancel()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	c.cancel()
	<-idle
	return errors.New("commits in flight were given up: their clients were told that it failed, and will send again")
}
