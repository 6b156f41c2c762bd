package audit

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of an event. With them an entry has at most about 20 KiB.
const (
	maxText    = 256 // bytes of a text
	maxName    = 64  // bytes of a detail's name
	maxDetails = 32
)

// bounded gives e in its bounds, fit to be stored and shown. What is beyond them
// is marked as cut.
func (e Event) bounded() Event {
	for _, s := range []*string{&e.Action, &e.Outcome, &e.Reason, &e.Subject, &e.Method, &e.Tenant, &e.Peer, &e.Listener, &e.Process} {
		*s = clean(redact(*s), maxText)
	}
	details := e.Details[:min(len(e.Details), maxDetails)]
	e.Details = make([]Detail, 0, len(details))
	for _, d := range details {
		e.Details = append(e.Details, Detail{clean(d.Name, maxName), clean(redact(d.Value), maxText)})
	}
	if len(e.Details) == 0 {
		e.Details = nil
	}
	e.At = e.At.UTC().Round(0)
	return e
}

// clean makes s printable and cuts it to limit bytes. What is not printable, the
// marks that turn text round among it, becomes U+FFFD.
func clean(s string, limit int) string {
	const end = "…"
	if len(s) > 4*limit { // what is cut anyhow need not be looked at
		s = s[:4*limit]
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	cut := limit - len(end)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + end
}

// credentials are forms in which one could have slipped into a text.
var credentials = []struct {
	form *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`), "$1 [redacted]"},
	{regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`), "[redacted]"},
	{regexp.MustCompile(`://[^/\s@"']+@`), "://[redacted]@"},
	{regexp.MustCompile(`(?i)(authorization|api[-_]?key|password|passwd|secret|token)("\s*:\s*"|=)[^"\s,&;}$]{4,}`), "$1$2[redacted]"},
}

// redact is the second line of defence: no caller passes a credential.
func redact(s string) string {
	if len(s) > 8*maxText {
		s = s[:8*maxText]
	}
	for _, c := range credentials {
		s = c.form.ReplaceAllString(s, c.by)
	}
	return s
}
