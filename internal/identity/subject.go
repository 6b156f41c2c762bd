package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
)

// maxSubject bounds a Subject, in bytes.
const maxSubject = 256

// subject makes a text printable and short. One that is cut ends with a hash of
// the whole, so that two do not become one.
func subject(s string) string {
	out := printable(s)
	if len(out) <= maxSubject && out == s {
		return out
	}
	sum := sha256.Sum256([]byte(s))
	mark := "~" + hex.EncodeToString(sum[:8])
	return strings.ToValidUTF8(out[:min(len(out), maxSubject-len(mark))], "") + mark
}

// printable replaces what a terminal would act on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// clip is the beginning of a text, for messages.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
