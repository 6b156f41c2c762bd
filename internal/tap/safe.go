package tap

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// safe tells whether a terminal shows r as a character and does nothing else. Not
// so control characters of both kinds (ESC, and CSI as one character), line
// separators, and what changes the direction of text or is not seen at all.
func safe(r rune) bool { return unicode.IsPrint(r) }

// escape is how an unsafe character is written, given its bytes.
func escape(r rune, bytes string) string {
	switch {
	case r == utf8.RuneError && len(bytes) == 1:
		return fmt.Sprintf(`\x%02x`, bytes[0])
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// cells is the most that a character takes on a terminal.
func cells(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// line is a line that is being written, of bounded width. Characters that take
// no room by themselves are counted as one, so that it is never longer.
type line struct {
	b     []byte
	used  int // cells
	width int // 0: no bound
	full  bool
}

const ellipsis = "…"

// text appends s, made harmless, within room cells (0: what the line has), and
// an ellipsis where it is cut.
func (l *line) text(s string, room int) {
	if l.full {
		return
	}
	limit := l.width
	if room > 0 && (limit == 0 || l.used+room < limit) {
		limit = l.used + room
	}
	begin, fits := len(l.b), -1 // where an ellipsis still fits
	used, fitsUsed := l.used, l.used
	for at := 0; at < len(s); {
		r, n := utf8.DecodeRuneInString(s[at:])
		part, w := s[at:at+n], 0
		if r == utf8.RuneError && n == 1 || !safe(r) {
			part = escape(r, part)
			w = len(part)
		} else {
			w = cells(r)
		}
		if limit > 0 && fits < 0 && used+w > limit-1 {
			fits, fitsUsed = len(l.b), used
		}
		if limit > 0 && used+w > limit {
			if fitsUsed < limit {
				l.b = append(l.b[:fits], ellipsis...)
				used = fitsUsed + 1
			} else {
				l.b, used = l.b[:begin], l.used
			}
			l.used = used
			l.full = limit == l.width
			return
		}
		l.b = append(l.b, part...)
		used += w
		at += n
	}
	l.used = used
}

// column appends s in a column of that many cells and a space.
func (l *line) column(s string, cells int) {
	begin := l.used
	l.text(s, cells)
	for l.used < begin+cells && !l.full {
		l.text(" ", 0)
	}
	l.text(" ", 0)
}

// word appends a space and s, unless s is empty.
func (l *line) word(s string) {
	if s != "" {
		l.text(" ", 0)
		l.text(s, 0)
	}
}

// appendSafeJSON appends JSON in which unsafe characters, which can only be in
// its strings, are in escaped form.
func appendSafeJSON(dst, b []byte) []byte {
	for len(b) > 0 {
		if c := b[0]; c < utf8.RuneSelf && c != 0x7f {
			dst, b = append(dst, c), b[1:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		switch {
		case safe(r):
			dst = append(dst, b[:n]...)
		case r >= 0x10000:
			high, low := utf16.EncodeRune(r)
			dst = appendEscape(appendEscape(dst, high), low)
		default:
			dst = appendEscape(dst, r)
		}
		b = b[n:]
	}
	return dst
}

func appendEscape(dst []byte, r rune) []byte {
	dst = append(dst, `\u`...)
	digits := strconv.FormatUint(uint64(r)|0x10000, 16)
	return append(dst, digits[1:]...)
}
