package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/penstock-otel/penstock/internal/config"
)

// An API key is pst_ID_SECRET. The id is no secret: it finds the key at once, and
// names it in lists and in logs. The secret has 256 random bits, so that a plain
// SHA-256 keeps it: slow hashes help secrets that can be guessed, and would make
// each request pay.
const (
	keyPrefix   = "pst_"
	keyForm     = "pst_ID_SECRET, as penstock keys create prints it"
	idBytes     = 8  // random
	secretBytes = 32 // random
	maxKey      = 128
)

// text is how the parts of a key are written: no character that a shell, a URL or
// a double click takes apart.
var text = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// isKey tells keys and tokens apart.
func isKey(s string) bool { return strings.HasPrefix(s, keyPrefix) }

// splitKey takes a key apart.
func splitKey(s string) (id, secret string, ok bool) {
	if len(s) > maxKey || !isKey(s) {
		return "", "", false
	}
	id, secret, ok = strings.Cut(s[len(keyPrefix):], "_")
	return id, secret, ok && idOK(id) && plain(secret)
}

// plain tells whether a part of a key has its characters alone.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return s != ""
}

func idOK(id string) bool { return len(id) <= 32 && plain(id) }

// Key is what is kept of an API key: not the key.
type Key struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// SHA256 of the secret, in hexadecimal.
	SHA256  string    `json:"sha256"`
	Roles   []string  `json:"roles"`
	Tenant  string    `json:"tenant,omitempty"`
	Tenants []string  `json:"tenants,omitempty"`
	Created time.Time `json:"created"`
	// Expires is zero for a key that does not.
	Expires time.Time `json:"expires,omitzero"`
	// RevokedAt is zero until it is. Revoked keys stay, to be told apart from
	// those that never were.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// States of a Key.
const (
	KeyActive  = "active"
	KeyExpired = "expired"
	KeyRevoked = "revoked"
)

// State at a time.
func (k *Key) State(now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return KeyRevoked
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return KeyExpired
	}
	return KeyActive
}

// maxName bounds a key's name, in bytes.
const maxName = 128

// Validate says what is wrong with a key.
func (k *Key) Validate() error {
	sum, err := hex.DecodeString(k.SHA256)
	switch {
	case !idOK(k.ID):
		return errors.New("id is none: want 1 to 32 of a-z and 2-7") // not quoted: it may be a whole key
	case k.Name == "" || len(k.Name) > maxName || strings.ContainsFunc(k.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("name is %q: want 1 to %d bytes of printable text", clip(k.Name), maxName)
	case err != nil || len(sum) != sha256.Size:
		return errors.New("sha256 is no SHA-256 in hexadecimal")
	case len(k.Roles) == 0:
		return errors.New("roles is empty: want ingest, view, operate or admin")
	case k.Created.IsZero():
		return errors.New("created is missing")
	}
	if _, err := ParseRoles(k.Roles); err != nil {
		return fmt.Errorf("a role %w", err)
	}
	if k.Tenant != "" {
		if err := CheckTenant(k.Tenant); err != nil {
			return fmt.Errorf("tenant %w", err)
		}
	}
	if err := checkTenants(k.Tenants); err != nil {
		return fmt.Errorf("tenants: one %w", err)
	}
	return nil
}

// NewKey makes the id and the secret of k, and returns the whole key: the only
// time that anybody has it.
func NewKey(k Key) (Key, config.Secret, error) {
	random := make([]byte, idBytes+secretBytes)
	rand.Read(random) // it never fails, or ends the process
	secret := text.EncodeToString(random[idBytes:])
	k.ID = text.EncodeToString(random[:idBytes])
	sum := sha256.Sum256([]byte(secret))
	k.SHA256 = hex.EncodeToString(sum[:])
	if err := k.Validate(); err != nil {
		return Key{}, "", err
	}
	return k, config.Secret(keyPrefix + k.ID + "_" + secret), nil
}

// keyEntry is a key as requests find it.
type keyEntry struct {
	key      Key
	sum      [sha256.Size]byte
	identity *Identity
}

// entry wants a valid key.
func entry(k Key) (*keyEntry, error) {
	if err := k.Validate(); err != nil {
		return nil, err
	}
	e := &keyEntry{key: k}
	if _, err := hex.Decode(e.sum[:], []byte(k.SHA256)); err != nil {
		return nil, err
	}
	roles, err := ParseRoles(k.Roles)
	if err != nil {
		return nil, err
	}
	e.identity = &Identity{Subject: subject("key:" + k.Name), Method: MethodKey, Roles: roles, Tenant: k.Tenant, SpeaksFor: slices.Clone(k.Tenants)}
	return e, nil
}

// judge tells whether secret is that of the key, and whether the key holds now.
// What became of a key is told only to who has it.
func (e *keyEntry) judge(secret string, now time.Time) (*Identity, *Failure) {
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(sum[:], e.sum[:]) != 1 {
		return nil, &Failure{Kind: FailUnknown, Message: unknownKey, Subject: e.identity.Subject}
	}
	switch e.key.State(now) {
	case KeyRevoked:
		return nil, &Failure{Kind: FailRevoked, Message: "the API key " + e.key.ID + " was revoked: use another", Subject: e.identity.Subject}
	case KeyExpired:
		return nil, &Failure{Kind: FailExpired, Message: "the API key " + e.key.ID + " expired at " + e.key.Expires.UTC().Format(time.RFC3339) + ": use another", Subject: e.identity.Subject}
	}
	return e.identity, nil
}

const unknownKey = "there is no such API key: check it, or have one made by penstock keys create"
