package identity

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c, now := newCache(), time.Now()
	sum := func(n int) (s [32]byte) { binary.BigEndian.PutUint64(s[:], uint64(n)); return s }
	small := &Identity{Subject: "x"}
	used := &verified{until: now.Add(time.Hour), identity: small}
	c.put(sum(-1), used)
	for n := range 10 * maxCached {
		c.put(sum(n), &verified{until: now.Add(time.Hour), identity: small})
		if n%1000 == 0 && c.get(sum(-1), now) != used {
			t.Fatalf("what is used was forgotten after %d", n)
		}
		if len(c.young)+len(c.old) > 2*maxCached {
			t.Fatalf("%d are remembered", len(c.young)+len(c.old))
		}
	}
	if c.get(sum(0), now) != nil || c.get(sum(10*maxCached-1), now) == nil {
		t.Error("the first of many is remembered, or the last is not")
	}
	if c.get(sum(-1), now.Add(time.Hour)) != nil {
		t.Error("what expired still holds")
	}
}

func TestTheCacheIsBoundedInBytes(t *testing.T) {
	c, now := newCache(), time.Now()
	large := &Identity{SpeaksFor: slices.Repeat([]string{strings.Repeat("a", maxTenantName)}, maxTenants)}
	v := &verified{until: now.Add(time.Hour), identity: large}
	for n := range maxCached {
		var sum [32]byte
		binary.BigEndian.PutUint64(sum[:], uint64(n))
		c.put(sum, v)
		c.put(sum, v)
		if held := (len(c.young) + len(c.old)) * v.size(); held > 2*(maxCachedBytes+v.size()) {
			t.Fatalf("%d bytes are held", held)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	k, secret := newKey(b, Key{Name: "k"})
	rs := rsaSigner("rs")
	p := newProvider(b, rs)
	r := started(b, Config{KeysFile: keysFile(b, k), Issuers: []Issuer{p.config()}})
	token := bearer(rs.token(b, p.claims(r.clock.now())))
	r.ok(token)
	run := func(name string, c Credentials, forget bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if forget {
					r.state.Load().cache.forget()
				}
				if _, err := r.Authenticate(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("key", bearer(secret), false)
	run("token_known", token, false)
	run("token_new", token, true)
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.young)
	clear(c.old)
}
