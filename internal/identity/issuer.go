package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// issuer judges the tokens of one OpenID Connect issuer.
type issuer struct {
	c        Issuer
	keys     *keySet
	defaults Roles
	mapped   map[string]Roles
	verify   oidc.Config
}

func newIssuer(c Issuer, now func() time.Time, log *slog.Logger, m *Metrics) (*issuer, error) {
	i := &issuer{c: c, mapped: map[string]Roles{}}
	var err error
	if i.defaults, err = ParseRoles(c.DefaultRoles); err != nil {
		return nil, fmt.Errorf("issuer %s: default_roles: %w", c.Issuer, err)
	}
	for _, x := range c.Roles {
		r, err := ParseRoles(x.Roles)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: roles: %w", c.Issuer, err)
		}
		i.mapped[x.Value] |= r
	}
	// Audience and times are checked by check, which tells them apart.
	i.verify = oidc.Config{SupportedSigningAlgs: c.Algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true}
	if i.keys, err = newKeySet(c, now, log, m); err != nil {
		return nil, fmt.Errorf("issuer %s: %w", c.Issuer, err)
	}
	return i, nil
}

// verified is what a token was found to be.
type verified struct {
	identity *Identity
	until    time.Time
	issuer   *issuer
	keys     int64 // generation of the keys by which it was verified
}

// holds tells whether it may still be believed without another look.
func (v *verified) holds(now time.Time) bool {
	return now.Before(v.until) && (v.issuer == nil || v.keys == v.issuer.keys.generation())
}

// judge believes a token, or says why not.
func (i *issuer) judge(ctx context.Context, raw string, t *token, now time.Time) (*verified, *Failure) {
	until, f := i.check(t, now)
	if f != nil {
		return nil, f
	}
	keys, generation, f := i.keys.find(ctx, t)
	if f != nil {
		return nil, f
	}
	with := &ours{keys: keys, allowed: i.c.Algorithms}
	if _, err := oidc.NewVerifier(i.c.Issuer, with, &i.verify).Verify(ctx, raw); err != nil {
		if with.payload == nil {
			return nil, &Failure{Kind: FailSignature, Message: "the token's signature does not hold: it was changed, or signed by another than its issuer", Subject: t.subject(), Err: with.err}
		}
		return nil, &Failure{Kind: FailClaims, Message: "the token's claims cannot be read", Subject: t.subject(), Err: err}
	}
	if !bytes.Equal(with.payload, t.payload) {
		return nil, &Failure{Kind: FailSignature, Message: "the token's signature is of other claims", Subject: t.subject(), Err: errors.New("BUG: two readings of a token differ")}
	}
	id, f := i.identity(t)
	if f != nil {
		return nil, f
	}
	return &verified{identity: id, until: until, issuer: i, keys: generation}, nil
}

// ours are the keys of an issuer, for the library to verify with. Keys that the
// token itself brings (jwk, jku, x5c) are never looked at.
type ours struct {
	keys    []jose.JSONWebKey
	allowed []string
	payload []byte // set once the signature holds
	err     error  // why it does not
}

// VerifySignature implements oidc.KeySet.
func (o *ours) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	algs := make([]jose.SignatureAlgorithm, len(o.allowed))
	for i, a := range o.allowed {
		algs[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(raw, algs)
	if err != nil {
		o.err = errors.New("it cannot be parsed") // whose error may quote it
		return nil, o.err
	}
	for i := range o.keys {
		if payload, err := jws.Verify(&o.keys[i]); err == nil {
			o.payload = payload
			return payload, nil
		}
	}
	o.err = fmt.Errorf("none of %d keys verifies it", len(o.keys))
	return nil, o.err
}
