package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// token is a JWT (RFC 7519) in compact form, read and not believed yet.
type token struct {
	alg, kid string
	payload  []byte
	claims   claims
	issuer   string
}

// parseToken takes a token apart before anything is computed for it: three parts,
// a header of a kind that is known, claims that are an object. RFC 8725 is why
// typ is looked at (3.11) and why a header that demands extensions is refused.
func parseToken(raw string) (*token, *Failure) {
	if len(raw) > maxToken {
		return nil, malformed(fmt.Sprintf("the token has more than %d bytes", maxToken))
	}
	for _, c := range []byte(raw) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return nil, malformed("the token is no JWT: want three parts of base64url with dots between, or an API key, " + keyForm)
		}
	}
	head, rest, _ := strings.Cut(raw, ".")
	body, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return nil, malformed("the token is no signed JWT: want three parts with dots between, or an API key, " + keyForm)
	}
	t := &token{}
	header, err := object(head)
	if err != nil {
		return nil, malformed("the token's header cannot be read: " + err.Error())
	}
	if t.alg, _, err = header.text("alg"); err != nil || t.alg == "" {
		return nil, malformed("the token's header names no algorithm (alg)")
	}
	if t.kid, _, err = header.text("kid"); err != nil {
		return nil, malformed("the token's header names its key (kid) by something that is no text")
	}
	if _, ok := header["crit"]; ok {
		return nil, malformed("the token's header demands extensions (crit), and none is known")
	}
	typ, ok, err := header.text("typ")
	if err != nil || ok && !typeOK(typ) {
		return nil, malformed("the token is of a type (typ) that is not for this: want JWT or at+jwt")
	}
	if t.payload, err = decode(body); err == nil {
		t.claims, err = parseObject(t.payload)
	}
	if err != nil {
		return nil, malformed("the token's claims cannot be read: " + err.Error())
	}
	if t.issuer, _, err = t.claims.text("iss"); err != nil {
		return nil, malformed("the token's issuer (iss) is no text")
	}
	return t, nil
}

func typeOK(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "jwt", "at+jwt":
		return true
	}
	return false
}

func decode(part string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("it is no base64url")
	}
	return b, nil
}

// claims are the members of an object by their exact names.
type claims map[string]json.RawMessage

func object(part string) (claims, error) {
	b, err := decode(part)
	if err != nil {
		return nil, err
	}
	return parseObject(b)
}

func parseObject(b []byte) (claims, error) {
	var c claims
	if err := json.Unmarshal(b, &c); err != nil || c == nil {
		return nil, errors.New("it is no JSON object") // and is not quoted
	}
	return c, nil
}

var errNoText = errors.New("is no text")

// text is a member that is a string; false when there is none.
func (c claims) text(name string) (string, bool, error) {
	raw, ok := c[name]
	if !ok {
		return "", false, nil
	}
	return textOf(raw)
}

func textOf(raw json.RawMessage) (string, bool, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", true, errNoText
	}
	return *s, true, nil
}

// lastTime is the end of the year 9999.
const lastTime = 253402300799

// time is a member that is a NumericDate; false when there is none.
func (c claims) time(name string) (time.Time, bool, error) {
	raw, ok := c[name]
	if !ok {
		return time.Time{}, false, nil
	}
	var n *float64
	if err := json.Unmarshal(raw, &n); err != nil || n == nil || *n < 0 || *n > lastTime {
		return time.Time{}, true, errors.New("is no time in seconds since 1970")
	}
	whole, part := math.Modf(*n)
	return time.Unix(int64(whole), int64(part*1e9)), true, nil
}

// texts is a string or a list of strings.
func texts(raw json.RawMessage) ([]string, error) {
	if s, _, err := textOf(raw); err == nil {
		return []string{s}, nil
	}
	var list []*string
	if err := json.Unmarshal(raw, &list); err != nil || bytes.Equal(raw, []byte("null")) {
		return nil, errors.New("is neither a text nor a list of texts")
	}
	all := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, errors.New("has a member that is no text")
		}
		all[i] = *s
	}
	return all, nil
}

// at finds a claim: by its whole name, which may have dots in it, or by the path
// into objects.
func (c claims) at(path string) (json.RawMessage, bool) {
	if raw, ok := c[path]; ok {
		return raw, true
	}
	first, rest, ok := strings.Cut(path, ".")
	raw, there := c[first]
	if !ok || !there {
		return nil, false
	}
	inner, err := parseObject(raw)
	if err != nil {
		return nil, false
	}
	return inner.at(rest)
}
