package audit

import (
	"net"
	"net/netip"

	"github.com/penstock-otel/penstock/internal/identity"
)

// Actions of refusals.
const (
	Authenticate = "authenticate"
	Authorize    = "authorize"
)

// Denied is the event of a request whose credential does not hold: err is what the
// Authenticator said. Its subject is who the credential claims, unproved.
func Denied(listener, peer string, err error) Event {
	e := Event{Action: Authenticate, Outcome: Refused, Listener: listener, Peer: peer, Reason: "unknown"}
	if f, ok := identity.AsFailure(err); ok {
		e.Reason, e.Subject = f.Kind, f.Subject
		if f.Message != "" {
			e.Details = []Detail{{"message", f.Message}}
		}
	}
	return e
}

// Forbidden is the event of a request that a proved identity may not make: reason
// is a word such as "role" or "tenant", what says which thing it wanted.
func Forbidden(listener, peer string, who *identity.Identity, reason, what string) Event {
	e := Event{Action: Authorize, Outcome: Refused, Listener: listener, Peer: peer, Reason: reason, Details: []Detail{{"wanted", what}}}
	return e.By(who)
}

// By gives e its subject; who may be nil.
func (e Event) By(who *identity.Identity) Event {
	if who != nil {
		e.Subject, e.Method, e.Tenant = who.Subject, who.Method, who.Tenant
	}
	return e
}

// network is what a peer's address has in common with its neighbours': who tries
// credentials has many addresses.
func network(peer string) string {
	host, _, err := net.SplitHostPort(peer)
	if err != nil {
		host = peer
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return clean(host, maxText)
	}
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 24
	}
	p, err := ip.Prefix(bits)
	if err != nil { // not with these bits
		return ip.String()
	}
	return p.String()
}
