package outgoing

import (
	"errors"
	"strings"
)

// CheckShown refuses an endpoint with a place for credentials. Endpoints are
// shown, in logs, on the status page and when a configuration is printed, so
// that none may hold a secret; the error does not repeat it either. It goes by
// the characters and not by a parser, which a mistyped URL would get past.
func CheckShown(endpoint string) error {
	if strings.ContainsAny(endpoint, "@?#") {
		return errors.New("has a user or password, a query or a fragment (an @, ? or # in it), and endpoints are shown in logs: put credentials into headers")
	}
	return nil
}
