package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxCached bounds each of the cache's two halves.
const maxCached = 8192

// cache remembers what was verified, by hash, so that a signature is not paid for
// by each request. When the young half is full it becomes the old one, and what
// is still asked for moves back: what is in use stays.
type cache struct {
	mu         sync.RWMutex // guards everything below
	young, old map[[sha256.Size]byte]*verified
}

func newCache() *cache { return &cache{young: map[[sha256.Size]byte]*verified{}} }

// get is what holds now; nil when that is not known.
func (c *cache) get(sum [sha256.Size]byte, now time.Time) *verified {
	c.mu.RLock()
	v, young := c.young[sum]
	if !young {
		v = c.old[sum]
	}
	c.mu.RUnlock()
	if v == nil || !v.holds(now) {
		return nil
	}
	if !young {
		c.put(sum, v)
	}
	return v
}

func (c *cache) put(sum [sha256.Size]byte, v *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxCached {
		c.old, c.young = c.young, make(map[[sha256.Size]byte]*verified, maxCached/4)
	}
	c.young[sum] = v
}
