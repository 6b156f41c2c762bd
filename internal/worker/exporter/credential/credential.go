package credential

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
)

// maxSecret bounds a token and a file with a secret. Servers take headers of 8 to
// 64 KiB together.
const maxSecret = 32 << 10

// Options are what a credential works with beside its Config.
type Options struct {
	// Destination that it is for, in log lines and metrics.
	Destination string
	Logger      *slog.Logger     // nil: silent
	Metrics     *Metrics         // nil: none
	TLSFiles    *config.TLSFiles // told of the certificate files in use; may be nil
}

// New makes the credential of c, nil when there is none. Files are read now; a
// token is fetched when the first export needs it. Errors are in the user's keys,
// below auth.
func New(c Config, o Options) (outgoing.Credential, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = o.Logger.With("destination", o.Destination)
	// A nil *bearer must not become an interface that is not nil.
	switch {
	case c.BearerFile != "":
		b, err := newBearer(c.BearerFile, o.Logger)
		if err != nil {
			return nil, fmt.Errorf("bearer_file: %w", err)
		}
		return b, nil
	case c.OAuth2.TokenURL != "":
		s, err := newSource(c.OAuth2, o)
		if err != nil {
			return nil, fmt.Errorf("oauth2: %w", err)
		}
		return s, nil
	}
	return nil, nil
}

// checkToken refuses what no authorization header may have (RFC 6750, section
// 2.1, knows letters, digits and -._~+/=; any printable character passes here),
// without showing it.
func checkToken(token string) error {
	switch {
	case token == "":
		return errors.New("is empty")
	case len(token) > maxSecret:
		return fmt.Errorf("has %d bytes, more than the %d that a header may have", len(token), maxSecret)
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c > '~' {
			return errors.New("has a space or a character that no header may have in it: want the token alone, without the word Bearer")
		}
	}
	return nil
}
