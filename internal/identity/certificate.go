package identity

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxNames bounds how many names of a certificate are looked at.
const maxNames = 256

// rule is a CertificateRule that was read.
type rule struct {
	c     CertificateRule
	roles Roles
}

func newRules(cs []CertificateRule) ([]rule, error) {
	rules := make([]rule, len(cs))
	for i, c := range cs {
		r, err := ParseRoles(c.Roles)
		if err != nil {
			return nil, fmt.Errorf("certificates[%d].roles %w", i, err)
		}
		rules[i] = rule{c: c, roles: r}
	}
	return rules, nil
}

// matches wants every pattern of the rule to match.
func (r *rule) matches(cert *x509.Certificate) bool {
	c := r.c
	if c.Subject != "" && !subjectMatches(c.Subject, cert) {
		return false
	}
	if c.DNS != "" && !some(cert.DNSNames, strings.ToLower(c.DNS), strings.ToLower) {
		return false
	}
	if c.URI != "" {
		found := false
		for _, u := range cert.URIs[:min(len(cert.URIs), maxNames)] {
			found = found || glob(c.URI, u.String())
		}
		if !found {
			return false
		}
	}
	return c.Email == "" || some(cert.EmailAddresses, strings.ToLower(c.Email), strings.ToLower)
}

// subjectMatches holds a pattern with a = in it against the whole subject, another
// one against the common name: who may choose a name must not choose the rest too.
func subjectMatches(pattern string, cert *x509.Certificate) bool {
	if !strings.Contains(pattern, "=") {
		return glob(pattern, cert.Subject.CommonName)
	}
	return glob(plainValues(pattern, ",+*"), plainValues(cert.Subject.String(), ",+"))
}

// plainValues writes a subject (RFC 4514) so that no value in it has a comma, a + or
// a =, escaped or not: a * would match the backslash, and the name "x,O=Example"
// pass for an organisation. An attribute begins behind one of the separators; in a
// pattern * may stand for those.
func plainValues(s, separators string) string {
	var b strings.Builder
	named := false // the = of this attribute has been
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && !strings.ContainsRune("0123456789abcdefABCDEF", rune(s[i+1])):
			i++
			fmt.Fprintf(&b, "\\%02X", s[i])
			continue
		case c == '=' && named:
			b.WriteString("\\3D")
			continue
		case c == '=':
			named = true
		case strings.IndexByte(separators, c) >= 0:
			named = false
		}
		b.WriteByte(c)
	}
	return b.String()
}

func some(names []string, pattern string, fold func(string) string) bool {
	return slices.ContainsFunc(names[:min(len(names), maxNames)], func(n string) bool { return glob(pattern, fold(n)) })
}

// judgeCertificate finds who a certificate stands for. That it leads to an
// authority was verified when the connection was made; a connection may outlive
// it, so that its times are looked at again.
func judgeCertificate(rules []rule, cert *x509.Certificate, now time.Time) (*verified, *Failure) {
	name := certName(cert)
	if now.After(cert.NotAfter) {
		return nil, &Failure{Kind: FailExpired, Message: "the client certificate expired at " + cert.NotAfter.UTC().Format(time.RFC3339) + ": connect with a new one", Subject: name}
	}
	for i := range rules {
		r := &rules[i]
		if r.matches(cert) {
			return &verified{until: cert.NotAfter, identity: &Identity{Subject: name, Method: MethodCertificate, Roles: r.roles,
				Tenant: r.c.Tenant, SpeaksFor: slices.Clone(r.c.Tenants)}}, nil
		}
	}
	return nil, &Failure{Kind: FailUnknown, Message: "no rule of auth.certificates is for this client certificate", Subject: name}
}

// certName is the name by which people know a certificate.
func certName(cert *x509.Certificate) string {
	name := cert.Subject.CommonName
	switch {
	case name != "":
	case len(cert.URIs) > 0:
		name = cert.URIs[0].String()
	case len(cert.DNSNames) > 0:
		name = cert.DNSNames[0]
	case len(cert.EmailAddresses) > 0:
		name = cert.EmailAddresses[0]
	default:
		name = "serial " + cert.SerialNumber.String()
	}
	return subject("cert:" + name)
}
