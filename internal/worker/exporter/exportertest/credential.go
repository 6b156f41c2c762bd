package exportertest

import (
	"context"
	"sync"
)

// Credential gives the values one after the other, the next one when the
// destination refused the one before; the last one stays. It implements
// outgoing.Credential.
type Credential struct {
	Values []string
	Err    error // instead of a value

	mu      sync.Mutex
	at      int // mu
	refused int // mu
	closed  int // mu
}

// Authorization implements outgoing.Credential.
func (c *Credential) Authorization(context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Err != nil {
		return "", c.Err
	}
	return c.Values[c.at], nil
}

// Refused implements outgoing.Credential.
func (c *Credential) Refused(value string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused++
	if c.Values[c.at] == value && c.at+1 < len(c.Values) {
		c.at++
	}
	return c.Values[c.at] != value
}

// Close implements outgoing.Credential.
func (c *Credential) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
}

// Told is how often it was told of a refusal, and closed.
func (c *Credential) Told() (refused, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused, c.closed
}
