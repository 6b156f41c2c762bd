package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Bounds of each of the cache's two halves: in entries, and in bytes of what they
// hold, since a token may name many tenants.
const (
	maxCached      = 8192
	maxCachedBytes = 8 << 20
	entryBytes     = 512 // beside its texts
)

// cache remembers what was verified, by hash, so that a signature is not paid for
// by each request. When the young half is full it becomes the old one, and what
// is still asked for moves back: what is in use stays.
type cache struct {
	mu         sync.RWMutex // guards everything below
	young, old map[[sha256.Size]byte]*verified
	bytes      int // of young
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
	if len(c.young) >= maxCached || c.bytes >= maxCachedBytes {
		c.old, c.young, c.bytes = c.young, map[[sha256.Size]byte]*verified{}, 0
	}
	if c.young[sum] == nil { // two may have verified the same at a time
		c.bytes += v.size()
	}
	c.young[sum] = v
}

// size is about what is kept of it, in bytes.
func (v *verified) size() int {
	n := entryBytes + len(v.identity.Subject) + len(v.identity.Tenant)
	for _, t := range v.identity.SpeaksFor {
		n += len(t) + 16
	}
	return n
}
