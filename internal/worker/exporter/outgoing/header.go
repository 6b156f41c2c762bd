package outgoing

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// Header is one header of every request. A list, since configuration folds the
// case of map keys.
type Header = exporter.Header

// Headers are checked headers. Formatting them in any way shows names alone.
type Headers struct {
	list  []Header
	scrub *strings.Replacer
}

// reserved headers belong to the protocol.
var reserved = map[string]bool{
	"content-type": true, "content-encoding": true, "content-length": true, "transfer-encoding": true,
	"connection": true, "te": true, "user-agent": true, "host": true,
}

// CheckName says what is wrong with the name of a header, as it reads on from
// the name of the setting.
func CheckName(name string) error {
	low := strings.ToLower(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("is %q: no header name, want letters, digits and '-'", name)
	case reserved[low] || strings.HasPrefix(low, "grpc-"):
		return fmt.Errorf("is %q: this header is set by the protocol, remove it", name)
	}
	return nil
}

// CheckValue says what is wrong with the value of a header, without the value.
func CheckValue(value string) error {
	if !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("has characters that no header may have, such as the end of a line")
	}
	return nil
}

// NewHeaders checks the names and values. Its errors show no value.
func NewHeaders(list []Header) (Headers, error) {
	var pairs []string
	for i, h := range list {
		if err := CheckName(h.Name); err != nil {
			return Headers{}, fmt.Errorf("headers[%d].name %w", i, err)
		}
		if err := CheckValue(h.Value); err != nil {
			return Headers{}, fmt.Errorf("headers[%d].value of %q %w", i, h.Name, err)
		}
		pairs = append(pairs, secrets(h.Value)...)
	}
	return Headers{list: list, scrub: strings.NewReplacer(pairs...)}, nil
}

// secrets are the replacements for a value: it, and what follows "Bearer ".
// Shorter ones than six bytes are words rather than secrets.
func secrets(value string) (pairs []string) {
	add := func(v string) {
		if v = strings.TrimSpace(v); len(v) >= 6 {
			pairs = append(pairs, v, "***")
		}
	}
	add(value)
	if _, after, ok := strings.Cut(value, " "); ok {
		add(after)
	}
	return pairs
}

// All calls set for each header.
func (h Headers) All(set func(name, value string)) {
	for _, x := range h.list {
		set(x.Name, x.Value)
	}
}

// maxMessage bounds what is kept of a destination's words.
const maxMessage = 1 << 10

// Message makes text from a destination fit for errors and logs: valid UTF-8,
// at most 1 KiB, without the values of headers, which some servers repeat, nor
// that of authorization, the one of this call.
func (h Headers) Message(text, authorization string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if h.scrub != nil {
		text = h.scrub.Replace(text)
	}
	if s := secrets(authorization); s != nil {
		text = strings.NewReplacer(s...).Replace(text)
	}
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// String shows the names alone.
func (h Headers) String() string {
	names := make([]string, len(h.list))
	for i, x := range h.list {
		names[i] = x.Name
	}
	return fmt.Sprint(names)
}

// GoString is String: no verb shows a value.
func (h Headers) GoString() string { return h.String() }
