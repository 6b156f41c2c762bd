package outgoing

import "context"

// Credential gives the authorization header of requests to one destination. Safe
// for concurrent use.
type Credential interface {
	// Authorization is the value of the header for a request that is sent now. It
	// keeps what is valid, and waits for another no longer than ctx allows. No
	// secret is in its errors.
	Authorization(ctx context.Context) (string, error)
	// Refused is told that the destination did not believe value, and answers
	// whether there may be another by now, so that the request is worth one more
	// try.
	Refused(value string) bool
	// Close ends what runs in the background. It is called once, when no
	// Authorization runs.
	Close()
}
