package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The header of every entry, and what this program writes there.
const (
	headerVersion = "Penstock-Version"
	version       = "1"
)

// genesis is the prev of an entry that has none before it.
var genesis = strings.Repeat("0", sha256.Size*2)

// Head names an entry and what it was: who keeps that of the last one elsewhere
// can tell later whether the chain was rewritten or cut.
type Head struct {
	N    uint64 `json:"n" doc:"Number of the entry, which is its sequence in the stream."`
	Hash string `json:"hash" doc:"SHA-256 of its bytes as stored, in hexadecimal."`
}

// String is N:HASH.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.N, h.Hash) }

// ParseHead reads N:HASH.
func ParseHead(s string) (Head, error) {
	n, hash, _ := strings.Cut(strings.TrimSpace(s), ":")
	h := Head{Hash: strings.ToLower(hash)}
	var err error
	if h.N, err = strconv.ParseUint(n, 10, 64); err != nil || h.N == 0 || !isHash(h.Hash) {
		return Head{}, fmt.Errorf("%q is no head of the audit chain: want N:HASH as audit verify prints it, a number and 64 hexadecimal digits", clean(s, maxText))
	}
	return h, nil
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}

// Entry is one link of the chain, as it is stored.
type Entry struct {
	// N is its place in the stream.
	N uint64 `json:"n"`
	// Prev is the hash of the entry before, of its bytes as stored.
	Prev string `json:"prev"`
	// Purged is the last of the entries that are removed once this one is stored.
	Purged *Head `json:"purged,omitempty"`
	Event  Event `json:"event"`
}

// encode gives the bytes that are stored, which are those that are hashed.
func (e *Entry) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("audit entry %d: %w", e.N, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// hashOf is what the next entry has as its prev.
func hashOf(stored []byte) string {
	sum := sha256.Sum256(stored)
	return hex.EncodeToString(sum[:])
}

// parse reads an entry of any version, and says what is no entry.
func parse(stored []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(stored, &e); err != nil {
		return e, fmt.Errorf("it is no JSON of an entry: %s", clean(err.Error(), maxText))
	}
	switch {
	case e.N == 0:
		return e, errors.New("it has no number")
	case !isHash(e.Prev):
		return e, fmt.Errorf("its prev is %q: no SHA-256 in 64 hexadecimal digits", clean(e.Prev, maxText))
	case e.Purged != nil && (e.Purged.N == 0 || !isHash(e.Purged.Hash)):
		return e, errors.New("what it says of removed entries has no number and SHA-256")
	}
	return e, nil
}
