package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// reference is a value that was written with ${...}.
type reference struct {
	text     string // as written
	resolved string
}

// schemes may stand before a reference in a secret that is printed.
var schemes = []string{"bearer ", "basic ", "token ", "apikey "}

// shows tells whether the text of a reference may be printed: of a secret only when
// all that is secret in it is behind references. A part that was written out, a
// default among them, is as secret as the whole.
func (r reference) shows(secret string) bool {
	if secret == "" {
		return true
	}
	written := writtenOut(r.text)
	switch secret {
	case "url": // a user and a password end at an @, and a token may be anywhere behind the host
		return !strings.ContainsAny(written, "@?#") && !strings.Contains(r.text, ":-")
	default:
		return (written == "" || slices.Contains(schemes, strings.ToLower(written))) && !strings.Contains(r.text, ":-")
	}
}

// writtenOut is a text without its references.
func writtenOut(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, text, _ = strings.Cut(rest, "}")
	}
}

const wantReference = "${env:NAME}, ${env:NAME:-default} or ${file:PATH}; to mean the text itself, write $${"

// errNoReference is of a text that only looks like a reference; its message has the
// text.
var errNoReference = errors.New("is not a reference")

// expand replaces ${env:NAME}, ${env:NAME:-default} and ${file:PATH} in a text;
// $${ stands for ${ itself. What a reference brings is not expanded again. An
// error names the reference, never a content.
func expand(text string, env func(string) (string, bool)) (out string, referred bool, err error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), referred, nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			return "", false, fmt.Errorf("a reference begins with ${ and has no }; to mean the text itself, write $${")
		}
		content, err := lookUp(text[i+2:i+end], env)
		if err != nil {
			return "", true, err
		}
		b.WriteString(content)
		text, referred = text[i+end+1:], true
	}
}

func lookUp(ref string, env func(string) (string, bool)) (string, error) {
	kind, name, _ := strings.Cut(ref, ":")
	switch kind {
	case "env":
		name, otherwise, hasDefault := strings.Cut(name, ":-")
		// As in a shell: the default also stands in for an empty variable.
		if v, ok := env(name); ok && (v != "" || !hasDefault) {
			return v, nil
		}
		if hasDefault {
			return otherwise, nil
		}
		return "", fmt.Errorf("${%s}: the environment variable %s is not set; set it, or write ${env:%s:-default}", ref, name, name)
	case "file":
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", ref, err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", ref, err)
		}
		if len(data) > maxFile {
			return "", fmt.Errorf("${%s}: the file is larger than %s", ref, ByteSize(maxFile))
		}
		// Editors and "kubectl create secret" leave a last newline.
		return strings.TrimRight(string(data), "\r\n"), nil
	default:
		return "", fmt.Errorf("${%s} %w: want %s", ref, errNoReference, wantReference)
	}
}
