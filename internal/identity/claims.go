package identity

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// check holds what a token says of itself against what is wanted of it: cheap
// things first, so that a flood of tokens that cannot hold costs no signature.
// until is when it expires, the leeway included.
func (i *issuer) check(t *token, now time.Time) (until time.Time, f *Failure) {
	fail := func(kind, format string, args ...any) *Failure {
		return &Failure{Kind: kind, Message: fmt.Sprintf(format, args...), Subject: t.subject()}
	}
	if !slices.Contains(i.c.Algorithms, t.alg) {
		return until, fail(FailAlgorithm, "the token is signed by an algorithm (alg) that is not allowed: want %s", strings.Join(i.c.Algorithms, ", "))
	}
	aud, err := texts(t.claims["aud"])
	if err != nil || !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(i.c.Audiences, a) }) {
		return until, fail(FailAudience, "the token is meant for another service: want %s in aud", strings.Join(i.c.Audiences, " or "))
	}
	exp, ok, err := t.claims.time("exp")
	if err != nil || !ok {
		return until, fail(FailClaims, "the token does not say when it expires: want exp, in seconds since 1970")
	}
	leeway := time.Duration(i.c.Leeway)
	if until = exp.Add(leeway); !now.Before(until) {
		return until, fail(FailExpired, "the token expired at %s: get a new one", exp.UTC().Format(time.RFC3339))
	}
	for _, name := range []string{"nbf", "iat"} {
		from, ok, err := t.claims.time(name)
		if err != nil {
			return until, fail(FailClaims, "the token's %s %v", name, err)
		}
		if ok && now.Add(leeway).Before(from) {
			return until, fail(FailExpired, "the token is not valid before %s (%s): compare the clocks of issuer, client and Penstock", from.UTC().Format(time.RFC3339), name)
		}
	}
	return until, nil
}

// subject is who the token says it is of.
func (t *token) subject() string {
	sub, _, err := t.claims.text("sub")
	if err != nil {
		sub = "?"
	}
	return subject("jwt:" + t.issuer + "#" + sub)
}

// identity is who a token stands for, once its signature was verified.
func (i *issuer) identity(t *token) (*Identity, *Failure) {
	fail := func(format string, args ...any) *Failure {
		return &Failure{Kind: FailClaims, Message: fmt.Sprintf(format, args...), Subject: t.subject()}
	}
	if sub, ok, err := t.claims.text("sub"); err != nil || !ok || sub == "" {
		return nil, fail("the token does not say whom it stands for: want sub, a text")
	}
	id := &Identity{Subject: t.subject(), Method: MethodToken}
	if raw, ok := t.find(i.c.TenantClaim); ok {
		name, _, err := textOf(raw)
		if err == nil {
			err = CheckTenant(name)
		}
		if err != nil {
			return nil, fail("the token's tenant, in %s, cannot be: %s", i.c.TenantClaim, printable(err.Error()))
		}
		id.Tenant = name
	}
	if raw, ok := t.find(i.c.TenantsClaim); ok {
		names, err := texts(raw)
		if err == nil {
			err = checkTenants(names)
		}
		if err != nil {
			return nil, fail("the token's tenants, in %s, cannot be: one %s", i.c.TenantsClaim, printable(err.Error()))
		}
		id.SpeaksFor = names
	}
	if i.c.RolesClaim == "" {
		id.Roles = i.defaults
		return id, nil
	}
	raw, ok := t.find(i.c.RolesClaim)
	if !ok {
		return id, nil // who has no role may nothing
	}
	values, err := texts(raw)
	if err != nil {
		return nil, fail("the token's roles, in %s, cannot be read: the claim %v", i.c.RolesClaim, err)
	}
	if all, _, err := textOf(raw); err == nil { // as scope has them (RFC 8693, 4.2); the members of a list are whole
		values = append(strings.Fields(all), all)
	}
	for _, v := range values {
		id.Roles |= i.role(v)
	}
	return id, nil
}

// role is what a value of the roles claim means. As soon as the operator says
// what values mean, names that happen to be ours mean nothing by themselves: the
// issuer may have an "admin" of something else.
func (i *issuer) role(value string) Roles {
	if len(i.c.Roles) > 0 {
		return i.mapped[value]
	}
	r, err := ParseRole(value)
	if err != nil {
		return 0 // of something else
	}
	return r
}

func (t *token) find(path string) (raw []byte, ok bool) {
	if path == "" {
		return nil, false
	}
	raw, ok = t.claims.at(path)
	return raw, ok && string(raw) != "null"
}
