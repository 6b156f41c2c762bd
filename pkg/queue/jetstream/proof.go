package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Times of asking again while the proof fails, or servers of a cluster are away.
const (
	proveMin     = 50 * time.Millisecond
	proveMax     = 5 * time.Second
	proveTimeout = 30 * time.Second
)

// prover keeps the promise of Config.Durability true while servers come and go.
// A proof is of server processes: whoever comes back after a lost connection may
// be another one, with other settings. So each publish connection knows the
// number of the network connection that is proven (link.proven), and nothing is
// published, or taken as confirmed, over one with another number until the
// servers have been asked again.
//
// At Open every server of a cluster must answer. Afterwards those that are away
// are allowed to be (they confirm nothing), as long as half of them answers; they
// are asked for until they are back, and the proof is withdrawn if one is back
// with other settings.
type prover struct {
	cfg   Config
	links []*link
	kick  chan struct{}  // cap 1: a link is connected again
	wg    sync.WaitGroup // of run

	mu    sync.Mutex // guards what follows
	proof string     // what was proven last
	why   string     // why it cannot be proven now, as far as known
}

func newProver(c Config) *prover {
	return &prover{cfg: c, kick: make(chan struct{}, 1)}
}

// needed tells whether the servers can change behind the connection: embedded
// ones do not, and durability process promises nothing of them.
func (p *prover) needed() bool { return p.cfg.Conn == nil && p.cfg.Durability != Process }

// enforced tells whether what is not proven must not be confirmed.
func (p *prover) enforced() bool { return p.needed() && !p.cfg.AllowUnverified }

// start proves every link for the first time, and then goes on by itself until
// ctx ends.
func (p *prover) start(ctx, life context.Context, links []*link) error {
	p.links = links
	for i, l := range links {
		if i > 0 && (!p.needed() || l.isProven()) {
			continue
		}
		if _, err := p.ask(ctx, l, true); err != nil {
			return err
		}
	}
	if p.needed() {
		p.wg.Go(func() { p.run(life) }) // Queue.Close waits for it
	}
	return nil
}

func (p *prover) run(ctx context.Context) {
	again := time.NewTimer(0) // a link may have changed since it was proven
	defer again.Stop()
	partial, tries := false, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
			tries = 0
		case <-again.C:
		}
		var left bool
		if partial, left = p.round(ctx, partial); !left {
			again.Stop()
			continue
		}
		again.Reset(jitter(min(proveMax, proveMin<<min(tries, 16))))
		tries++
	}
}

// round asks over every link that is not proven, and once for each server. With
// partial, servers were away and the proven links are asked too.
func (p *prover) round(ctx context.Context, partial bool) (stillPartial, left bool) {
	asked := map[string]bool{}
	missing := false
	for _, l := range p.links {
		id := l.nc.ConnectedServerId()
		if id == "" || asked[id] || l.isProven() && !partial {
			continue
		}
		asked[id] = true
		away, err := p.ask(ctx, l, false)
		missing = missing || away > 0
		left = left || err != nil
	}
	if len(asked) == 0 {
		return partial, false // until a link is connected again
	}
	return missing, left || missing
}

var errReplaced = errors.New("the connection was lost while the servers were asked")

// ask verifies over one link, for all links to the same server process. The
// proof is theirs only as long as they are not connected anew.
func (p *prover) ask(ctx context.Context, over *link, whole bool) (away int, err error) {
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	defer context.AfterFunc(over.alive(), cancel)()
	type place struct {
		number uint64
		server string
	}
	places := map[*link]place{}
	for _, l := range p.links {
		places[l] = place{l.number(), l.nc.ConnectedServerId()} // in this order
	}
	proof, away, err := verify(ctx, p.cfg, over.nc, whole)
	if over.number() != places[over].number || !whole && ctx.Err() == context.Canceled {
		return 0, errReplaced
	}
	for l, at := range places {
		switch {
		case at.server != places[over].server || at.server == "":
		case err == nil:
			l.proven.Store(at.number)
		default:
			l.proven.Store(0)
		}
	}
	p.tell(whole, proof, err)
	return away, err
}

// tell keeps what is known, and logs its changes.
func (p *prover) tell(first bool, proof string, err error) {
	p.mu.Lock()
	wasProof, wasWhy := p.proof, p.why
	if err != nil {
		p.why = err.Error()
	} else {
		p.proof, p.why = proof, ""
	}
	p.mu.Unlock()
	switch {
	case first:
	case !p.enforced(): // a worker reads on, and need not hear the same at each reconnect
		if proof != wasProof {
			p.cfg.Logger.Warn("queue durability has changed", "durability", proof)
		}
	case err != nil && err.Error() != wasWhy:
		p.cfg.Logger.Warn("queue: nothing is published until durability is verified again", "error", err)
	case err == nil && (wasWhy != "" || proof != wasProof):
		p.cfg.Logger.Info("queue durability is verified again", "durability", proof)
	}
}

// number counts the network connections of l, from 1. The library increases it
// under the lock that every write takes, before the first one to the new server;
// its callbacks come later.
func (l *link) number() uint64 { return l.nc.Stats().Reconnects + 1 }

func (l *link) isProven() bool { return l.proven.Load() == l.number() }

// connection gives the number of the network connection of l, or an error that
// says why nothing may be confirmed over it. With the same number before sending
// and after the answer, nothing else was sent over: a loss in between does not
// change it, only the next connection does.
func (p *prover) connection(l *link) (uint64, error) {
	if !p.enforced() {
		return 0, nil
	}
	n := l.number()
	if l.proven.Load() == n {
		return n, nil
	}
	return 0, p.unproven()
}

func (p *prover) unproven() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	why := p.why
	if why == "" {
		why = "the servers are being asked"
	}
	return fmt.Errorf("durability %s is not verified since the connection came back: %s", p.cfg.Durability, why)
}

// sentence is for Queue.Durability. The proof holds while any link has it: over
// the others nothing is confirmed.
func (p *prover) sentence() string {
	proven := !p.needed()
	for _, l := range p.links {
		proven = proven || l.isProven()
	}
	p.mu.Lock()
	proof := p.proof
	p.mu.Unlock()
	if proven {
		return proof
	}
	return fmt.Sprintf("%s, NOT verified: %v", p.cfg.Durability, p.unproven())
}
