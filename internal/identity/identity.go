package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Roles are a set of what an identity may do.
type Roles uint8

// The roles. Admin may what Operate may, and Operate what View may; Ingest is
// apart from them.
const (
	Ingest  Roles = 1 << iota // send OTLP
	View                      // read status, metrics, configuration (redacted)
	Operate                   // change something, or see payload
	Admin                     // reload, read the audit stream
)

var roleNames = []struct {
	role Roles
	name string
}{{Ingest, "ingest"}, {View, "view"}, {Operate, "operate"}, {Admin, "admin"}}

// ParseRole reads one role's name and returns it with all that it includes.
func ParseRole(name string) (Roles, error) {
	switch name {
	case "ingest":
		return Ingest, nil
	case "view":
		return View, nil
	case "operate":
		return Operate | View, nil
	case "admin":
		return Admin | Operate | View, nil
	}
	return 0, fmt.Errorf("is %q: want ingest, view, operate or admin", name)
}

// ParseRoles reads several.
func ParseRoles(names []string) (Roles, error) {
	var all Roles
	for _, n := range names {
		r, err := ParseRole(n)
		if err != nil {
			return 0, err
		}
		all |= r
	}
	return all, nil
}

// Has tells whether all of want are in r.
func (r Roles) Has(want Roles) bool { return r&want == want }

// String lists the names, "none" for no role.
func (r Roles) String() string {
	var names []string
	for _, x := range roleNames {
		if r&x.role != 0 {
			names = append(names, x.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ",")
}

// How an identity was proved.
const (
	MethodAnonymous   = "anonymous" // not at all
	MethodKey         = "api_key"
	MethodToken       = "jwt"
	MethodCertificate = "client_certificate"
)

// AnyTenant in SpeaksFor stands for every tenant.
const AnyTenant = "*"

// Identity is who makes a request. It is shared and never changed.
type Identity struct {
	// Subject names it in logs and in the audit stream: "key:NAME",
	// "jwt:ISSUER#SUB", "cert:NAME", "anonymous". At most 256 bytes of
	// printable text.
	Subject string
	Method  string
	Roles   Roles
	// Tenant is its own, "" when it has none.
	Tenant string
	// SpeaksFor are further tenants that its requests may name.
	SpeaksFor []string
}

// Speaks tells whether the identity may speak for a tenant.
func (i *Identity) Speaks(tenant string) bool {
	return tenant == i.Tenant || slices.Contains(i.SpeaksFor, tenant) || slices.Contains(i.SpeaksFor, AnyTenant)
}

// Credentials are what a request brings along.
type Credentials struct {
	// Authorization is the value of the header of that name, "" without one.
	Authorization string
	// Key is the value of X-Api-Key, "" without one.
	Key string
	// Certificate is the verified leaf that the client showed, nil without one.
	Certificate *x509.Certificate
}

// Kinds of Failure, as its label in metrics and the audit stream.
const (
	FailMissing     = "missing"     // no credential, and nobody may enter without
	FailMalformed   = "malformed"   // no form that is known
	FailUnknown     = "unknown"     // no such key, issuer, or rule for the certificate
	FailRevoked     = "revoked"     // a key that was
	FailExpired     = "expired"     // or not valid yet
	FailSignature   = "signature"   // tampered with, or signed by another
	FailAlgorithm   = "algorithm"   // one that is not allowed, "none" among them
	FailIssuer      = "issuer"      // one that is not configured
	FailAudience    = "audience"    // meant for another
	FailClaims      = "claims"      // one that is missing or cannot be read: exp, sub, tenant, roles
	FailUnavailable = "unavailable" // the issuer's keys cannot be had now: try again
)

// Failure says why a credential does not hold.
type Failure struct {
	Kind string
	// Message is for the client: what is wrong and what to do, without the
	// credential.
	Message string
	// Subject is who it claims to be, as far as that is known; unproved.
	Subject string
	Err     error // for logs; without the credential
}

func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Kind + ": " + f.Message
	}
	return fmt.Sprintf("%s: %s: %v", f.Kind, f.Message, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// AsFailure finds the Failure in err.
func AsFailure(err error) (*Failure, bool) {
	var f *Failure
	ok := errors.As(err, &f)
	return f, ok
}

type key struct{}

// With puts the identity into the context of its request.
func With(ctx context.Context, i *Identity) context.Context {
	return context.WithValue(ctx, key{}, i)
}

// From is the identity of the request of ctx, nil outside of one.
func From(ctx context.Context) *Identity {
	i, _ := ctx.Value(key{}).(*Identity)
	return i
}
