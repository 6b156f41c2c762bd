package pool

import (
	"time"

	"google.golang.org/grpc/connectivity"
)

// Stats are values of one moment; the uint64 fields only ever grow.
type Stats struct {
	// Ready, Connecting, Idle, NotServing and Broken add up to the
	// connections that may get calls; Draining ones get none. NotServing are
	// up, and the server says that it is not, or answers nothing.
	Ready, Connecting, Idle, NotServing, Broken, Draining int
	// InFlight are calls on a connection, Waiting those without one.
	InFlight, Waiting int
	// Endpoints in the order of the configuration.
	Endpoints []EndpointStats

	// Calls that ended, and those of them that failed for whatever reason.
	Calls, Failures uint64
	// Waits counts calls that found no connection at once, WaitTimeouts those
	// that never got one.
	Waits, WaitTimeouts uint64
	// Dials counts connections opened, ConnectFailures how often one that
	// could not connect, or lost its peer, began to back off.
	Dials, ConnectFailures uint64
	// Removed counts connections taken out, by reason.
	Removed Removed
	// LastError is the last failure to connect, with its endpoint.
	LastError string
}

// Removed are the reasons for which a connection is taken out.
type Removed struct {
	// Idle: the load did not need it for IdleTTL. MaxAge: replaced in time.
	// Hung: HangAfter deadlines without an answer. Failover: broken, while
	// another endpoint was to be tried.
	Idle, MaxAge, Hung, Failover uint64
}

// EndpointStats is one endpoint's share.
type EndpointStats struct {
	Target string
	// Connections without the draining ones, Ready of them, and their calls.
	Connections, Ready, InFlight int
	// Down since the given time; zero when it is not.
	Down time.Time
}

// Stats is a snapshot.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.InFlight, s.Waiting, s.Draining = p.inFlight, len(p.waiters), len(p.draining)
	s.Endpoints = make([]EndpointStats, len(p.endpoints))
	for i, e := range p.endpoints {
		es := &s.Endpoints[i]
		es.Target, es.Down = e.target, e.failed
		for _, c := range p.conns {
			if c.endpoint != e {
				continue
			}
			es.Connections++
			es.InFlight += c.inFlight
			if c.rank() == rankReady {
				es.Ready++
			}
		}
	}
	for _, c := range p.conns {
		switch r := c.rank(); {
		case r == rankReady:
			s.Ready++
		case r == rankNotServing:
			s.NotServing++
		case r == rankBroken:
			s.Broken++
		case c.state == connectivity.Idle:
			s.Idle++
		default:
			s.Connecting++
		}
	}
	return s
}
