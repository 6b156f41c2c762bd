package embedded

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/nats-io/nats-server/v2/server"
)

// gate asks clients over TCP for the token or the user. The server's own
// settings would ask connections from inside the process too.
type gate struct{ token, user, password string }

func (g gate) Check(c server.ClientAuthentication) bool {
	if a := c.RemoteAddress(); a != nil && a.Network() == "pipe" {
		return true
	}
	o := c.GetOpts()
	if g.token != "" {
		return same(o.Token, g.token)
	}
	return same(o.Username, g.user) && same(o.Password, g.password)
}

// same takes the same time for every a, whatever its length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
