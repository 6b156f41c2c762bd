package config

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print writes every key of a configuration with its value, in the order of the
// struct, as "yaml" or "json". Secrets are redacted; nothing else is left out,
// so that without secrets the output is a file that loads to the same values.
func Print(w io.Writer, v any, format string) error { return printTo(w, v, format, nil) }

// Hash names a configuration: what prints alike gives an equal text of 16
// hexadecimal digits. It is made of what Print shows, and of nothing else: a hash
// that anybody may see must not be one by which a weak secret can be guessed. That
// a secret changed is told by Changed.
func Hash(v any) string { return hashOf(v, nil) }

func hashOf(v any, refs map[string]reference) string {
	rv, s, err := describe(v)
	if err != nil {
		panic(err) // a struct that no Load accepts
	}
	data, err := nodeJSON((&printer{refs: refs}).node(rv, s.root, ""))
	if err != nil {
		panic(fmt.Errorf("BUG: hash of configuration: %w", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func describe(v any) (reflect.Value, *schema, error) {
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	s, err := schemaOf(rv.Type())
	return rv, s, err
}

func printTo(w io.Writer, v any, format string, refs map[string]reference) error {
	rv, s, err := describe(v)
	if err != nil {
		return err
	}
	root := (&printer{refs: refs}).node(rv, s.root, "")
	switch format {
	case "yaml":
		enc := yaml.NewEncoder(w)
		enc.SetIndent(2)
		if err := enc.Encode(root); err != nil {
			return err
		}
		return enc.Close()
	case "json":
		data, err := nodeJSON(root)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := json.Indent(&out, data, "", "  "); err != nil {
			return err
		}
		out.WriteByte('\n')
		_, err = w.Write(out.Bytes())
		return err
	default:
		return fmt.Errorf("unknown format %q: want yaml or json", format)
	}
}

// printer turns values into nodes.
type printer struct{ refs map[string]reference }

func (p *printer) node(rv reflect.Value, f *field, path string) *yaml.Node {
	if f.pointer {
		if rv.IsNil() {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
		}
		rv = rv.Elem()
	}
	switch f.kind {
	case section:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, c := range f.children {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: c.key}
			n.Content = append(n.Content, key, p.node(rv.FieldByIndex(c.index), c, join(path, c.key)))
		}
		return n
	case list:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if rv.Len() == 0 || f.elem.kind == scalar {
			n.Style = yaml.FlowStyle
		}
		for i := range rv.Len() {
			n.Content = append(n.Content, p.node(rv.Index(i), f.elem, fmt.Sprintf("%s[%d]", path, i)))
		}
		return n
	}
	text, tag := textOf(rv)
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
	if tag == "!!str" {
		n.SetString(text) // chooses quotes where a text looks like something else
	}
	// The struct may have been changed since: then the reference is not its
	// value any more.
	if ref, ok := p.refs[path]; ok && sameText(rv, ref.resolved) {
		n.Tag, n.Style = "!!str", 0
		if n.SetString(ref.text); !ref.shows(f.secret) {
			n.SetString(Redacted)
		}
		return n
	}
	switch {
	case f.secret == "true" && text != "":
		n.SetString(Redacted)
	case f.secret == "url":
		n.SetString(escapeRefs(redactURL(text)))
	case tag == "!!str":
		n.SetString(escapeRefs(text))
	}
	return n
}

// escapeRefs makes a text that has ${ in it read back as itself.
func escapeRefs(text string) string { return strings.ReplaceAll(text, "${", "$${") }

// sameText says whether a reference's content still is the field's value.
func sameText(rv reflect.Value, resolved string) bool {
	again := reflect.New(rv.Type()).Elem()
	return setText(again, resolved) == nil && reflect.DeepEqual(again.Interface(), rv.Interface())
}

// textOf is the value as setText reads it back, secrets revealed.
func textOf(rv reflect.Value) (text, tag string) {
	switch x := rv.Interface().(type) {
	case Secret:
		return x.Reveal(), "!!str"
	case time.Duration:
		return Duration(x).String(), "!!str"
	case encoding.TextMarshaler:
		data, err := x.MarshalText()
		if err != nil {
			return fmt.Sprintf("(cannot be printed: %v)", err), "!!str"
		}
		return string(data), "!!str"
	case fmt.Stringer:
		return x.String(), "!!str"
	}
	switch rv.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(rv.Bool()), "!!bool"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(rv.Int(), 10), "!!int"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(rv.Uint(), 10), "!!int"
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(rv.Float(), 'g', -1, rv.Type().Bits()), "!!float"
	default:
		return rv.String(), "!!str"
	}
}

// redactURL hides the password of an address, or of each in a comma list. A
// user without a password is hidden as well: NATS takes a token there.
func redactURL(text string) string {
	parts := strings.Split(text, ",")
	for i, part := range parts {
		u, err := url.Parse(part)
		switch {
		case err != nil:
			return Redacted // what cannot be taken apart is hidden whole
		case u.User == nil:
			continue
		}
		if _, has := u.User.Password(); has {
			u.User = url.UserPassword(u.User.Username(), "xxxxx")
		} else {
			u.User = url.User("xxxxx")
		}
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}

// nodeJSON encodes nodes in their order, which a map would lose.
func nodeJSON(n *yaml.Node) ([]byte, error) {
	switch n.Kind {
	case yaml.MappingNode:
		out := []byte{'{'}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				out = append(out, ',')
			}
			key, err := json.Marshal(n.Content[i].Value)
			if err != nil {
				return nil, err
			}
			val, err := nodeJSON(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			out = append(append(append(out, key...), ':'), val...)
		}
		return append(out, '}'), nil
	case yaml.SequenceNode:
		out := []byte{'['}
		for i, c := range n.Content {
			if i > 0 {
				out = append(out, ',')
			}
			val, err := nodeJSON(c)
			if err != nil {
				return nil, err
			}
			out = append(out, val...)
		}
		return append(out, ']'), nil
	}
	if n.Tag == "!!str" {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // "<redacted>" is to be read
		err := enc.Encode(n.Value)
		return bytes.TrimSpace(b.Bytes()), err
	}
	return []byte(n.Value), nil
}
