package identity

import (
	"encoding/base64"
	"strings"
)

// Bounds of what is looked at, in bytes.
const (
	maxToken  = 16 << 10
	maxHeader = maxToken + 64 // and the scheme
)

// brought is the one credential of a request.
type brought struct {
	key, token string // at most one is set
}

// header finds the credential in the headers. Both Authorization and X-Api-Key
// are taken if they say the same; otherwise it cannot be told which was meant.
func header(c Credentials) (brought, *Failure) {
	var b brought
	if c.Authorization != "" {
		var f *Failure
		if b, f = authorization(c.Authorization); f != nil {
			return brought{}, f
		}
	}
	if c.Key == "" {
		return b, nil
	}
	if !isKey(c.Key) {
		return brought{}, malformed("X-Api-Key holds no API key of Penstock: want " + keyForm)
	}
	if b.token != "" || b.key != "" && b.key != c.Key {
		return brought{}, malformed("Authorization and X-Api-Key bring two credentials: send one")
	}
	return brought{key: c.Key}, nil
}

// authorization reads the header of that name (RFC 9110, 11.6.2): Bearer with a
// key or a token, or Basic with any user and a key as the password, for clients
// that can do nothing else.
func authorization(value string) (brought, *Failure) {
	if len(value) > maxHeader {
		return brought{}, malformed("the Authorization header is too long: want at most 16 KiB")
	}
	scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "bearer"):
		if rest == "" {
			return brought{}, malformed("Authorization has the scheme Bearer and nothing after it")
		}
		if isKey(rest) {
			return brought{key: rest}, nil
		}
		return brought{token: rest}, nil
	case strings.EqualFold(scheme, "basic"):
		plain, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return brought{}, malformed("Authorization has the scheme Basic and no base64 after it")
		}
		_, password, ok := strings.Cut(string(plain), ":")
		if !ok || !isKey(password) {
			return brought{}, malformed("Authorization has the scheme Basic: its password must be an API key, " + keyForm)
		}
		return brought{key: password}, nil
	}
	return brought{}, malformed("Authorization has a scheme that is not known: want Bearer with an API key or a token, or Basic with an API key as the password")
}

func malformed(message string) *Failure { return &Failure{Kind: FailMalformed, Message: message} }
