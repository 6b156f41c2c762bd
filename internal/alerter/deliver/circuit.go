package deliver

import (
	"sync"
	"time"
)

const (
	// maxFailures of the store in a row open the circuit: nobody waits for it then.
	maxFailures = 3
	// probeEvery is how often an open one is tried.
	probeEvery = 5 * time.Second
)

// circuit says whether the store is asked.
type circuit struct {
	mu       sync.Mutex
	metrics  *Metrics
	failures int           // mu
	probe    time.Time     // mu; when an open circuit lets one through
	closed   chan struct{} // mu; is closed when the store answers again
}

func (c *circuit) init(m *Metrics) {
	c.metrics, c.closed = m, make(chan struct{})
	m.store.Set(1)
}

// allows tells whether to ask; of an open circuit one caller at a time may.
func (c *circuit) allows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures < maxFailures {
		return true
	}
	if now := time.Now(); !now.Before(c.probe) {
		c.probe = now.Add(probeEvery)
		return true
	}
	return false
}

// open tells whether the store is passed over, without asking it for a try.
func (c *circuit) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures >= maxFailures
}

// answered is told how a call ended.
func (c *circuit) answered(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		if c.failures >= maxFailures {
			close(c.closed)
			c.closed = make(chan struct{})
			c.metrics.store.Set(1)
		}
		c.failures = 0
		return
	}
	if c.failures++; c.failures == maxFailures {
		c.probe = time.Now().Add(probeEvery)
		c.metrics.store.Set(0)
	}
}

// back is closed when the circuit closes.
func (c *circuit) back() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
