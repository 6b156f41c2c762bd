package receiver

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tenant"
)

// Door says who a request is of and lets it in, by its headers and its
// connection alone: nothing of its body is read before. The zero Door lets
// everybody in as nobody.
type Door struct {
	// Authenticate says who it is; its errors are *identity.Failure.
	Authenticate func(context.Context, identity.Credentials) (*identity.Identity, error)
	// Tenants bounds what each tenant sends.
	Tenants *tenant.Registry
	// Audit is told who was not let in.
	Audit audit.Recorder
}

// knock is what a transport knows of a request before its body.
type knock struct {
	listener string // as in audit.Event
	peer     string
	identity.Credentials
	// doubled: a header that holds a credential is there twice.
	doubled bool
	tenants []string // values of the header that names one
}

// last of several values, "" of none.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// leaf is the certificate that a client showed and that was verified, nil without.
func leaf(s *tls.ConnectionState) *x509.Certificate {
	if s == nil || len(s.VerifiedChains) == 0 {
		return nil
	}
	return s.VerifiedChains[0][0]
}

// header is the name of the header that names a tenant, "" for none.
func (d *Door) header() string {
	if d.Tenants == nil {
		return ""
	}
	return d.Tenants.Header()
}

// enter lets a request in, or says why not.
func (d *Door) enter(ctx context.Context, s otlp.Signal, k knock) (tenant.Pass, *otlp.Refusal) {
	var who *identity.Identity
	if d.Authenticate != nil {
		var refusal *otlp.Refusal
		if who, refusal = d.identify(ctx, k); refusal != nil {
			return tenant.Pass{}, refusal
		}
	}
	if d.Tenants == nil {
		return tenant.Pass{}, nil
	}
	pass, refusal := d.Tenants.Enter(who, k.tenants, s)
	if refusal != nil && refusal.Reason == otlp.ReasonPermissionDenied {
		d.tell(audit.Forbidden(k.listener, k.peer, who, "tenant", refusal.Message))
	}
	return pass, refusal
}

// identify finds who sends, and that it may.
func (d *Door) identify(ctx context.Context, k knock) (*identity.Identity, *otlp.Refusal) {
	who, err := d.authenticate(ctx, k)
	if err != nil {
		return nil, d.unknown(k, err)
	}
	if !who.Roles.Has(identity.Ingest) {
		r := otlp.Refuse(otlp.ReasonPermissionDenied, nil, "%s has the roles %s, and to send needs ingest", who.Subject, who.Roles)
		d.tell(audit.Forbidden(k.listener, k.peer, who, "role", r.Message))
		return nil, r
	}
	return who, nil
}

func (d *Door) authenticate(ctx context.Context, k knock) (*identity.Identity, error) {
	if k.doubled {
		return nil, &identity.Failure{Kind: identity.FailMalformed, Message: "the request has a header with a credential twice: send one"}
	}
	return d.Authenticate(ctx, k.Credentials)
}

// unknown is the answer to a credential that does not hold.
func (d *Door) unknown(k knock, err error) *otlp.Refusal {
	f, ok := identity.AsFailure(err)
	switch {
	case !ok:
		return otlp.AsRefusal(err)
	case f.Kind == identity.FailUnavailable:
		return otlp.Refuse(otlp.ReasonIdentityUnavailable, err, "%s", f.Message)
	}
	d.tell(audit.Denied(k.listener, k.peer, err))
	return otlp.Refuse(otlp.ReasonUnauthenticated, err, "%s: %s", f.Kind, f.Message)
}

// tell the audit stream.
func (d *Door) tell(e audit.Event) {
	if d.Audit != nil {
		d.Audit.Record(e)
	}
}
