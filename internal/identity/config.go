package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Bounds of the lists in a configuration.
const (
	maxIssuers = 16
	maxRules   = 1024
)

// Config says who is believed. The zero value believes nobody and lets everyone in.
type Config struct {
	AnonymousRoles []string          `yaml:"anonymous_roles" help:"Roles of requests that bring no credential: ingest, view, operate, admin. Empty: none as soon as keys_file, issuers or certificates are configured, and all before."`
	KeysFile       string            `yaml:"keys_file" help:"File of the API keys, written by penstock keys; it has hashes, no keys. Read again when it changes." example:"/etc/penstock/keys"`
	Issuers        []Issuer          `yaml:"issuers" help:"OpenID Connect issuers whose tokens (JWT) are believed."`
	Certificates   []CertificateRule `yaml:"certificates" help:"Rules for the certificates of clients, on listeners with tls.client_ca_file: the first that matches counts."`
}

// Issuer is one that signs tokens.
type Issuer struct {
	Issuer       string          `yaml:"issuer" help:"Its URL, exactly as in the claim iss. Keys are found below it, at /.well-known/openid-configuration." example:"https://login.example.com/realms/main"`
	JWKSURL      string          `yaml:"jwks_url" help:"URL of its keys, for an issuer that does not tell it by discovery." example:"https://login.example.com/keys"`
	CAFile       string          `yaml:"ca_file" help:"Certificates in PEM form that the issuer's own certificate must lead to; empty: the system's. Read at the start." example:"/etc/penstock/issuer.pem"`
	Audiences    []string        `yaml:"audiences" help:"Values of the claim aud, one of which a token must have." example:"penstock"`
	Algorithms   []string        `yaml:"algorithms" help:"Signature algorithms that are believed: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA."`
	Leeway       config.Duration `yaml:"leeway" help:"How far the clocks of issuer and Penstock may be apart, for exp, nbf and iat."`
	TenantClaim  string          `yaml:"tenant_claim" help:"Claim with the tenant, a string; a path with dots leads into objects. A token without it has no tenant of its own."`
	TenantsClaim string          `yaml:"tenants_claim" help:"Claim with further tenants that the token may speak for: a string or a list; * stands for all." example:"penstock.tenants"`
	RolesClaim   string          `yaml:"roles_claim" help:"Claim with the roles: a list, or a string with spaces between. Its values are roles by their own names, unless roles is set." example:"realm_access.roles"`
	Roles        []RoleMapping   `yaml:"roles" help:"What the values of roles_claim mean; values that are not listed mean nothing."`
	DefaultRoles []string        `yaml:"default_roles" help:"Roles of tokens while roles_claim is not set."`
}

// RoleMapping gives roles to a value of a claim.
type RoleMapping struct {
	Value string   `yaml:"value" help:"Value of roles_claim." example:"otel-writers"`
	Roles []string `yaml:"roles" help:"What it may: ingest, view, operate, admin."`
}

// CertificateRule gives an identity to client certificates.
type CertificateRule struct {
	Subject string   `yaml:"subject" help:"Pattern of the common name, or with a = in it of the whole subject (CN=agent,O=Example). * stands for any text, ? for one character; all patterns of a rule must match." example:"agent-*"`
	DNS     string   `yaml:"dns" help:"Pattern of one of its DNS names; case does not matter." example:"*.agents.example.com"`
	URI     string   `yaml:"uri" help:"Pattern of one of its URIs." example:"spiffe://example/*"`
	Email   string   `yaml:"email" help:"Pattern of one of its mail addresses; case does not matter." example:"*@example.com"`
	Tenant  string   `yaml:"tenant" help:"Tenant of who shows it; empty: none of its own."`
	Tenants []string `yaml:"tenants" help:"Further tenants it may speak for; * stands for all."`
	Roles   []string `yaml:"roles" help:"What it may: ingest, view, operate, admin."`
}

// DefaultConfig believes nobody.
func DefaultConfig() Config { return Config{} }

// SetDefaults is what an issuer is before its keys are read.
func (i *Issuer) SetDefaults() {
	i.Algorithms = []string{"RS256", "ES256"}
	i.Leeway = config.Duration(30 * time.Second)
	i.TenantClaim = "tenant"
	i.DefaultRoles = []string{"ingest"}
}

// SetDefaults lets who shows a certificate send.
func (c *CertificateRule) SetDefaults() { c.Roles = []string{"ingest"} }

// Authenticates tells whether some way to authenticate is configured.
func (c Config) Authenticates() bool {
	return c.KeysFile != "" || len(c.Issuers) > 0 || len(c.Certificates) > 0
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	var errs problems
	errs.roles("anonymous_roles", c.AnonymousRoles)
	errs.add(len(c.Issuers) > maxIssuers, "issuers", "has %d: want at most %d", len(c.Issuers), maxIssuers)
	errs.add(len(c.Certificates) > maxRules, "certificates", "has %d rules: want at most %d", len(c.Certificates), maxRules)
	seen := map[string]bool{}
	for i, x := range c.Issuers {
		errs.add(seen[x.Issuer], fmt.Sprintf("issuers[%d].issuer", i), "is %q, which is taken: put the audiences of an issuer into one entry", x.Issuer)
		seen[x.Issuer] = true
	}
	return errors.Join(errs...)
}

// algorithms are those that only the holder of a private key can sign with.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Validate answers in the user's keys.
func (i Issuer) Validate() error {
	var errs problems
	errs.url("issuer", i.Issuer, true)
	errs.url("jwks_url", i.JWKSURL, false)
	errs.add(len(i.Audiences) == 0, "audiences", "is empty: want the values of aud that tokens for this Penstock have, so that a token for another service is not believed")
	errs.add(slices.Contains(i.Audiences, ""), "audiences", "has an empty value")
	errs.add(len(i.Algorithms) == 0, "algorithms", "is empty: want some of %s", strings.Join(algorithms, ", "))
	for n, alg := range i.Algorithms {
		key := fmt.Sprintf("algorithms[%d]", n)
		switch {
		case strings.EqualFold(alg, "none"):
			errs.add(true, key, "is %q: a token without a signature proves nothing; want some of %s", alg, strings.Join(algorithms, ", "))
		case strings.HasPrefix(strings.ToUpper(alg), "HS"):
			errs.add(true, key, "is %q: with a shared secret whoever verifies can sign too; want some of %s", alg, strings.Join(algorithms, ", "))
		default:
			errs.add(!slices.Contains(algorithms, alg), key, "is %q: want some of %s", alg, strings.Join(algorithms, ", "))
		}
	}
	errs.add(i.Leeway < 0 || i.Leeway > config.Duration(10*time.Minute), "leeway", "is %s: want 0s to 10m", i.Leeway)
	errs.add(len(i.Roles) > 0 && i.RolesClaim == "", "roles", "says what values of roles_claim mean, and that is not set")
	errs.roles("default_roles", i.DefaultRoles)
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (m RoleMapping) Validate() error {
	var errs problems
	errs.add(m.Value == "", "value", "is missing")
	errs.add(len(m.Roles) == 0, "roles", "is empty: want ingest, view, operate or admin")
	errs.roles("roles", m.Roles)
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (c CertificateRule) Validate() error {
	var errs problems
	errs.add(c.Subject == "" && c.DNS == "" && c.URI == "" && c.Email == "", "subject", "is empty, and so are dns, uri and email: want a pattern of what the certificate has; subject: \"*\" takes them all")
	if c.Tenant != "" {
		errs.err("tenant", CheckTenant(c.Tenant))
	}
	errs.err("tenants", checkTenants(c.Tenants))
	errs.add(len(c.Roles) == 0, "roles", "is empty: want ingest, view, operate or admin")
	errs.roles("roles", c.Roles)
	return errors.Join(errs...)
}

// problems are those of one section, each with its key.
type problems []error

func (p *problems) add(wrong bool, key, format string, args ...any) {
	if wrong {
		*p = append(*p, config.KeyError(key, format, args...))
	}
}

func (p *problems) err(key string, err error) {
	if err != nil {
		p.add(true, key, "%w", err)
	}
}

func (p *problems) roles(key string, names []string) {
	_, err := ParseRoles(names)
	p.err(key, err)
}

// url wants TLS, except towards this machine: keys that somebody in between can
// change prove nothing.
func (p *problems) url(key, text string, required bool) {
	if text == "" {
		p.add(required, key, "is missing")
		return
	}
	p.err(key, checkURL(text))
}

// checkURL refuses what keys must not be fetched from.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("is %q: want https://host/path", text)
	case u.User != nil || u.Fragment != "":
		return errors.New("has a user or a fragment: want https://host/path")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("is %q: want https, since keys that somebody in between can change prove nothing", text)
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// maxTenantName bounds a name, in bytes.
const maxTenantName = 63

// CheckTenant says what is wrong with a tenant's name: 1 to 63 letters, digits,
// -, _ and . are right, the first a letter or digit.
func CheckTenant(name string) error {
	if name == "" || len(name) > maxTenantName {
		return fmt.Errorf("has %d bytes: a tenant's name has 1 to %d", len(name), maxTenantName)
	}
	if strings.IndexByte("-_.", name[0]) >= 0 {
		return fmt.Errorf("is %q: a tenant's name begins with a letter or digit", name)
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("is %q: a tenant's name has letters, digits, -, _ and . only", name)
		}
	}
	return nil
}

// maxTenants bounds what one identity may speak for by name.
const maxTenants = 256

func checkTenants(names []string) error {
	if len(names) > maxTenants {
		return fmt.Errorf("has %d tenants: want at most %d, or %s for all", len(names), maxTenants, AnyTenant)
	}
	for _, n := range names {
		if n == AnyTenant {
			continue
		}
		if err := CheckTenant(n); err != nil {
			return err
		}
	}
	return nil
}
