package outgoing

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// Header is one header of every request. A list, since configuration folds the
// case of map keys.
type Header = exporter.Header

// Headers are checked headers. Formatting them in any way shows names alone. Copies
// are the same headers: what Prepare changes, it changes for all. The zero Headers
// are none, for good.
type Headers struct{ now *atomic.Pointer[headerSet] }

// headerSet is never changed.
type headerSet struct {
	list  []Header
	hide  []string // pairs of what is hidden in texts, with what it is replaced by
	scrub *strings.Replacer
}

// maxHidden bounds the pairs of sets before the one of now that are still hidden: the
// answer to a request may come after its headers were changed.
const maxHidden = 256

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
	set, err := newSet(list)
	if err != nil {
		return Headers{}, err
	}
	h := Headers{now: new(atomic.Pointer[headerSet])}
	set.scrub = strings.NewReplacer(set.hide...)
	h.now.Store(set)
	return h, nil
}

// Prepare checks other headers, which requests carry from apply on; until then
// nothing changes. One goroutine at a time may change them. Its errors show no
// value.
func (h Headers) Prepare(list []Header) (apply func(), err error) {
	set, err := newSet(list)
	if err != nil {
		return nil, err
	}
	return func() {
		before := h.now.Load().hide
		set.hide = append(set.hide, before[:min(len(before), maxHidden)]...)
		set.scrub = strings.NewReplacer(set.hide...)
		h.now.Store(set)
	}, nil
}

func newSet(list []Header) (*headerSet, error) {
	set := &headerSet{list: list}
	for i, h := range list {
		if err := CheckName(h.Name); err != nil {
			return nil, fmt.Errorf("headers[%d].name %w", i, err)
		}
		if err := CheckValue(h.Value); err != nil {
			return nil, fmt.Errorf("headers[%d].value of %q %w", i, h.Name, err)
		}
		set.hide = append(set.hide, secrets(h.Value)...)
	}
	return set, nil
}

func (h Headers) set() *headerSet {
	if h.now == nil {
		return &headerSet{}
	}
	return h.now.Load()
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
	for _, x := range h.set().list {
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
	if scrub := h.set().scrub; scrub != nil {
		text = scrub.Replace(text)
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
	list := h.set().list
	names := make([]string, len(list))
	for i, x := range list {
		names[i] = x.Name
	}
	return fmt.Sprint(names)
}

// GoString is String: no verb shows a value.
func (h Headers) GoString() string { return h.String() }
