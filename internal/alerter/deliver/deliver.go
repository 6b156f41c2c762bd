package deliver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

const (
	// lease of a claim; a send has sendShare of it, in percent, so that it has ended
	// when another may begin.
	lease     = 30 * time.Second
	sendShare = 80
	// stagger is what a replica without the store waits for those of a lower rank.
	stagger = 15 * time.Second
	// grace is what a replica waits beside that whose store does not answer: it may
	// answer the others, who have said so in the log by then.
	grace = 5 * time.Second
	// parallel sends to one integration.
	parallel = 8
	// maxTold bounds what this process remembers beside the log.
	maxTold = 20_000
)

// Options of a Deliverer.
type Options struct {
	// Claims are shared by all replicas; nil: there is no such store, and replicas go
	// by rank and the log alone.
	Claims alerts.Claims
	Log    alerts.Log
	// State is kept up with Log by its owner.
	State *alerts.State
	// Group answers what a group is now; false: there is nothing to tell.
	Group func(context.Context, alerts.ClaimKey) (alerts.Notification, bool)
	// Send tells one integration, once, and ends with its context.
	Send func(context.Context, alerts.Notification) (data []byte, err error)
	// Final tells which errors of Send no repetition cures.
	Final func(error) bool
	// Rank is the place of this replica among those that live, from 0.
	Rank func() int
	// FailOpen is the least severity that is told without the store.
	FailOpen alerts.Severity
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Deliverer tells groups. Safe for concurrent use.
type Deliverer struct {
	o       Options
	said    *app.Repeat
	circuit circuit
	fresh   fresh
	record  recorder

	waits   context.Context // ends when Stop begins
	noWaits context.CancelFunc
	sends   context.Context // ends when Stop gives up
	noSends context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	stopped bool                            // mu
	groups  map[alerts.ClaimKey]*group      // mu
	slots   map[string]chan struct{}        // mu; by integration
	told    map[alerts.ClaimKey]alerts.Sent // mu; what this process sent, until the state has it
}

// group is a key that is looked at now.
type group struct {
	again bool          // Deliverer.mu; it was asked for meanwhile
	wake  chan struct{} // has a token when it was

	// The rest belongs to the goroutine of the group.
	tries    int
	failing  bool
	restored uint64    // the token of which the store was told last
	over     uint64    // the one that it had then
	turn     time.Time // when this replica may send without the store; zero: not known
}

// sayEvery is the interval between two lines about the same receiver.
const sayEvery = time.Minute

// New makes a Deliverer. Stop ends it.
func New(o Options) *Deliverer {
	d := &Deliverer{o: o, said: app.NewRepeat(o.Logger, sayEvery), groups: map[alerts.ClaimKey]*group{}, slots: map[string]chan struct{}{}, told: map[alerts.ClaimKey]alerts.Sent{}}
	d.waits, d.noWaits = context.WithCancel(context.Background())
	d.sends, d.noSends = context.WithCancel(context.Background())
	d.circuit.init(o.Metrics)
	d.record.init(d)
	return d
}

// Look has a group told to an integration, if it is to be. It returns at once.
func (d *Deliverer) Look(k alerts.ClaimKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	if g := d.groups[k]; g != nil {
		g.again = true
		select {
		case g.wake <- struct{}{}:
		default:
		}
		return
	}
	g := &group{wake: make(chan struct{}, 1)}
	d.groups[k] = g
	d.running.Go(func() { d.run(k, g) })
}

// Stop begins nothing new and waits for what is being sent, until ctx ends; then it
// cuts that off, and others send it when the lease has ended.
func (d *Deliverer) Stop(ctx context.Context) error {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.noWaits()
	idle := make(chan struct{})
	go func() {
		d.running.Wait()
		close(idle)
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = errors.New("notifications were being sent and are cut off: another alerter sends them again")
	}
	if err != nil {
		d.noSends()
		<-idle
	}
	err = errors.Join(err, d.record.stop(ctx))
	d.noSends()
	d.said.Stop()
	return err
}

// run looks at a group until there is nothing left to do.
func (d *Deliverer) run(k alerts.ClaimKey, g *group) {
	for {
		wait, err := d.turn(k, g)
		if err != nil || d.waits.Err() != nil {
			d.mu.Lock()
			delete(d.groups, k)
			d.mu.Unlock()
			return
		}
		if wait == 0 && d.idle(k, g) {
			return
		}
		d.rest(g, wait)
	}
}

// sent remembers what this process sent, until the log has it.
func (d *Deliverer) sent(k alerts.ClaimKey, v alerts.Sent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.told[k]; !ok && len(d.told) >= maxTold {
		oldest := k
		for other, o := range d.told {
			if oldest == k || o.At.Before(d.told[oldest].At) {
				oldest = other
			}
		}
		delete(d.told, oldest)
	}
	d.told[k] = v
}

// recorded forgets what the state has.
func (d *Deliverer) recorded(events []alerts.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range events {
		e := &events[i]
		k := alerts.ClaimKey{Tenant: e.Tenant, Group: e.Notified.Group, Receiver: e.Notified.Receiver}
		if e.Kind == alerts.EventNotified && d.told[k].Token <= e.Notified.Token {
			delete(d.told, k)
		}
	}
}

// idle ends a group, unless it was asked for again.
func (d *Deliverer) idle(k alerts.ClaimKey, g *group) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.again {
		return false
	}
	delete(d.groups, k)
	return true
}

// rest waits, or less when the group was asked for or the store is back. After a
// failure only time helps.
func (d *Deliverer) rest(g *group, wait time.Duration) {
	if wait == 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	wake := g.wake
	if g.tries > 0 {
		wake = nil
	}
	select {
	case <-t.C:
	case <-wake:
	case <-d.circuit.back():
	case <-d.waits.Done():
	}
}

// turn takes one of the integration's slots and looks at the group once. An error is
// that the Deliverer stops.
func (d *Deliverer) turn(k alerts.ClaimKey, g *group) (wait time.Duration, err error) {
	slot := d.slot(k.Receiver)
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-d.waits.Done():
		return 0, d.waits.Err()
	}
	d.mu.Lock()
	g.again = false
	d.mu.Unlock()
	return d.look(k, g), nil
}

func (d *Deliverer) slot(receiver string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.slots[receiver]
	if s == nil {
		s = make(chan struct{}, parallel)
		d.slots[receiver] = s
	}
	return s
}
