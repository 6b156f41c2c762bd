// Package identity tells who makes a request, from what it brings along: an API
// key, a bearer token (JWT of an OpenID Connect issuer), or the client
// certificate of its connection. It knows no transport: both OTLP listeners and
// the admin port ask the same Authenticator.
//
//	Credentials ──▶ Authenticator ──▶ *Identity {subject, roles, tenant, speaks for}
//	 header, key,     keys file            │
//	 certificate      OIDC issuers         └─▶ ingest: OTLP; view, operate, admin: admin port
//	                  certificate rules
//
// # Guarantees
//
//   - What is wrong is refused, and never taken for nobody: a request that brings
//     a credential which does not hold is a Failure, also where anybody may enter.
//     Only where no way to authenticate is configured is none looked at: nothing
//     could hold there.
//   - A Failure that is not the client's fault (an issuer whose keys cannot be
//     fetched) is Unavailable, so that clients keep their data and try again.
//   - No credential is in an error, a log line, a metric or an Identity.
//   - Nothing of the request's body is needed, so that who may not enter costs no
//     decoding.
//   - Memory is bounded, whatever tokens arrive, and so is how often an issuer is
//     asked for its keys.
//   - What changes a configuration is checked whole before any of it counts.
package identity
