package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/app"
)

// Options are what New needs beside the configuration.
type Options struct {
	Registry prometheus.Registerer
	Logger   *slog.Logger // nil: slog.Default
}

// Authenticator tells who makes a request. Safe for concurrent use; Close ends its
// goroutines.
type Authenticator struct {
	log     *slog.Logger
	metrics *Metrics
	now     func() time.Time
	ctx     context.Context // of the goroutines
	state   atomic.Pointer[state]

	mu     sync.Mutex // guards what apply and Close do
	closed bool
}

// state is what a configuration comes to; never changed after it was stored.
type state struct {
	c         Config
	anonymous *Identity // nil: nobody enters without a credential
	keys      *keyStore // nil without a keys file
	issuers   map[string]*issuer
	rules     []rule
	cache     *cache
}

// New reads the keys file, which must be there, and begins to fetch the keys of
// the issuers, which need not be. Who calls New calls Close: the end of ctx alone
// ends nothing, for a process that stops still has requests.
func New(ctx context.Context, c Config, o Options) (*Authenticator, error) {
	return newAuthenticator(ctx, c, o, time.Now)
}

func newAuthenticator(ctx context.Context, c Config, o Options, now func() time.Time) (*Authenticator, error) {
	if o.Registry == nil {
		return nil, errors.New("BUG: identity.New needs a Registry")
	}
	a := &Authenticator{log: app.Component(logger(o.Logger), "auth"), metrics: NewMetrics(o.Registry), now: now, ctx: context.WithoutCancel(ctx)}
	a.state.Store(&state{})
	apply, err := a.Prepare(c)
	if err != nil {
		return nil, err
	}
	apply()
	o.Registry.MustRegister(NewCollector(a))
	return a, nil
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}

// Prepare reads all that a new configuration names, and changes nothing: apply
// does, and cannot fail. An issuer whose entry is the same keeps its keys.
func (a *Authenticator) Prepare(c Config) (apply func(), err error) {
	roles := Ingest | View | Operate | Admin
	if c.Authenticates() || len(c.AnonymousRoles) > 0 {
		if roles, err = ParseRoles(c.AnonymousRoles); err != nil {
			return nil, fmt.Errorf("auth.anonymous_roles: one %w", err)
		}
	}
	next := &state{c: c, issuers: map[string]*issuer{}, cache: newCache()}
	if roles != 0 {
		next.anonymous = &Identity{Subject: MethodAnonymous, Method: MethodAnonymous, Roles: roles}
		if !c.Authenticates() { // a name separates then, and protects nothing
			next.anonymous.SpeaksFor = []string{AnyTenant}
		}
	}
	if c.KeysFile != "" {
		if next.keys, err = newKeyStore(c.KeysFile, a.now(), a.log, a.metrics); err != nil {
			return nil, fmt.Errorf("auth.keys_file: %w", err)
		}
	}
	if next.rules, err = newRules(c.Certificates); err != nil {
		return nil, fmt.Errorf("auth.%w", err)
	}
	for n, x := range c.Issuers {
		if next.issuers[x.Issuer], err = newIssuer(x, a.now, a.log, a.metrics); err != nil {
			return nil, fmt.Errorf("auth.issuers[%d]: %w", n, err)
		}
	}
	return func() { a.apply(next) }, nil
}

func (a *Authenticator) apply(next *state) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	before := a.state.Load()
	for name, i := range next.issuers {
		if old := before.issuers[name]; old != nil && reflect.DeepEqual(old.c, i.c) {
			next.issuers[name] = old
			continue
		}
		i.keys.start(a.ctx)
	}
	a.state.Store(next)
	for name, old := range before.issuers {
		if next.issuers[name] != old {
			old.keys.stop()
		}
	}
}

// Close ends the goroutines and waits for them. What was known stays in use.
func (a *Authenticator) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, i := range a.state.Load().issuers {
		i.keys.stop()
	}
}

// Configured tells whether there is some way to authenticate.
func (a *Authenticator) Configured() bool { return a.state.Load().c.Authenticates() }

// Authenticate tells who brings the credentials. The error is always a *Failure.
// A credential in the headers is looked at before the certificate of the
// connection, which may be that of a proxy or of a machine with many clients.
// Where nothing is configured by which a credential could hold, none is looked at.
// It may wait, for seconds at most, for the keys of an issuer; ctx ends that.
func (a *Authenticator) Authenticate(ctx context.Context, c Credentials) (*Identity, error) {
	id, method, f := a.state.Load().judge(ctx, c, a.now())
	if f != nil {
		a.metrics.count(method, f.Kind)
		return nil, f
	}
	a.metrics.count(method, outcomeOK)
	return id, nil
}

func (s *state) judge(ctx context.Context, c Credentials, now time.Time) (*Identity, string, *Failure) {
	if !s.c.Authenticates() {
		return s.nobody()
	}
	b, f := header(c)
	switch {
	case f != nil:
		return nil, methodUnrecognized, f
	case b.key != "":
		if s.keys == nil {
			return nil, MethodKey, &Failure{Kind: FailUnknown, Message: "API keys are not taken here (auth.keys_file is not set)"}
		}
		id, f := s.keys.judge(b.key, now)
		return id, MethodKey, f
	case b.token != "":
		id, f := s.token(ctx, b.token, now)
		return id, MethodToken, f
	case c.Certificate != nil && len(s.rules) > 0:
		id, f := s.certificate(c, now)
		return id, MethodCertificate, f
	}
	return s.nobody()
}

func (s *state) nobody() (*Identity, string, *Failure) {
	if s.anonymous == nil {
		return nil, MethodAnonymous, &Failure{Kind: FailMissing, Message: "a credential is needed: an API key or a token as Authorization: Bearer, a key as X-Api-Key, or a client certificate"}
	}
	return s.anonymous, MethodAnonymous, nil
}

func (s *state) token(ctx context.Context, raw string, now time.Time) (*Identity, *Failure) {
	if len(raw) > maxToken {
		return nil, malformed(fmt.Sprintf("the token has more than %d bytes", maxToken))
	}
	sum := sha256.Sum256([]byte(raw))
	if v := s.cache.get(sum, now); v != nil {
		return v.identity, nil
	}
	t, f := parseToken(raw)
	if f != nil {
		return nil, f
	}
	i := s.issuers[t.issuer]
	if i == nil {
		return nil, &Failure{Kind: FailIssuer, Message: "the token's issuer (iss) is not one of auth.issuers", Subject: t.subject()}
	}
	v, f := i.judge(ctx, raw, t, now)
	if f != nil {
		return nil, f
	}
	s.cache.put(sum, v)
	return v.identity, nil
}

func (s *state) certificate(c Credentials, now time.Time) (*Identity, *Failure) {
	sum := sha256.Sum256(c.Certificate.Raw)
	if v := s.cache.get(sum, now); v != nil {
		return v.identity, nil
	}
	v, f := judgeCertificate(s.rules, c.Certificate, now)
	if f != nil {
		return nil, f
	}
	s.cache.put(sum, v)
	return v.identity, nil
}
