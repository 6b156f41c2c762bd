package send

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

// maxSaid bounds what is told of an answer, in characters.
const maxSaid = 500

// says is the error of an answer that is no success: its status, and its message
// as text that no terminal takes for anything else.
func says(resp *http.Response, body []byte) error {
	text := string(body)
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && t == "application/x-protobuf" {
		var s spb.Status
		if proto.Unmarshal(body, &s) == nil {
			text = s.GetMessage()
		}
	}
	text = plain(strings.TrimSpace(text))
	if text == "" {
		return fmt.Errorf("HTTP %s", resp.Status)
	}
	return fmt.Errorf("HTTP %s: %s", resp.Status, text)
}

// plain is s with everything that is not printable as in a Go string.
func plain(s string) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n++; n > maxSaid {
			b.WriteString("…")
			break
		}
		switch _, size := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}
