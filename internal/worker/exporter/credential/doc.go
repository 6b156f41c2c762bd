// Package credential gets what a destination is shown to let Penstock in: a
// bearer token from a file, or one from a token endpoint by OAuth2 client
// credentials (RFC 6749, section 4.4).
//
//	export ──▶ Authorization ──▶ token that is valid: at once
//	                               │ soon expired: a fetch begins in the background
//	                               └ none: one fetch, all exports wait for it
//	401    ──▶ Refused       ──▶ the token is dropped, once a minute: another is worth a try
//
// # Guarantees
//
//   - An export never waits while there is a valid token.
//   - At most one request to a token endpoint is under way for a destination, and
//     after a failure there is a wait before the next, 1 s at first and up to 10 s
//     (a minute when the endpoint asks for it).
//   - A rotated file or client secret heals by itself: files are read again when
//     they change, the last good one stays in use until then.
//   - No token and no secret is in an error, a log line or a metric, not even
//     where the other side repeats it.
//   - Memory and time are bounded, whatever an endpoint answers. No redirect is
//     followed: the secret would go along.
package credential
