package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a secret prints as.
const Redacted = "<redacted>"

// Secret is a string that no printing shows: not fmt, not JSON, YAML or text
// encoding, not slog. Reveal gives it to the code that needs it. Two holes are
// fmt's own: it calls no method for %p, which vet refuses, and none on the
// unexported fields of a struct, so never print a struct that hides a Secret in
// one. The empty Secret prints as empty, so that "not set" can be seen.
type Secret string

// Reveal is the secret itself. Hand it on to what needs it and keep no copy.
func (s Secret) Reveal() string { return string(s) }

// String is Redacted, or "" when the secret is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Redacted
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// Format makes every verb print String, also those that fmt would refuse with
// the value in the message.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	switch {
	case verb == 'v' && f.Flag('#'):
		text = s.GoString()
	case verb == 'q':
		text = fmt.Sprintf("%q", text)
	}
	_, _ = io.WriteString(f, text) // fmt.State is a buffer: it cannot fail
}

// MarshalText covers JSON, XML and text encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML covers YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue covers log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// NameValue is one entry of what would be a map, were the key not a user's own
// name, whose case must survive: a header, a label, a tenant.
type NameValue struct {
	Name  string `yaml:"name" json:"name" help:"The name, case kept."`
	Value Secret `yaml:"value" json:"value" help:"The value; never printed."`
}

// Validate refuses an entry without a name.
func (n NameValue) Validate() error {
	if n.Name == "" {
		return KeyError("name", "is missing")
	}
	return nil
}
