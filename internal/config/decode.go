package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder puts the merged values into the struct and notes where each came from.
type decoder struct {
	*layers
	env     func(string) (string, bool)
	origins map[string]origin    // by path, list elements with their index
	refs    map[string]reference // by path
}

// section sets what the layers have for the keys below f. A key that no layer
// has keeps its default.
func (d *decoder) section(rv reflect.Value, f *field) {
	for _, c := range f.children {
		got := d.v.Get(c.path)
		if got == nil {
			continue
		}
		target := rv.FieldByIndex(c.index)
		if c.pointer {
			target = fresh(target)
		}
		if v, ok := got.(*value); ok {
			d.node(target, c, v, v.node, c.path)
		} else {
			d.section(target, c)
		}
	}
}

// fresh makes a pointer field point to a copy, so that a default that is shared
// with other values is not written to.
func fresh(ptr reflect.Value) reflect.Value {
	p := reflect.New(ptr.Type().Elem())
	if !ptr.IsNil() {
		p.Elem().Set(ptr.Elem())
	}
	ptr.Set(p)
	return p.Elem()
}

// node sets one value, which is not a section outside of lists.
func (d *decoder) node(rv reflect.Value, f *field, v *value, n *yaml.Node, path string) {
	d.origins[path] = v.at(n)
	switch f.kind {
	case section:
		for _, p := range d.pairs(v, n, f, path) {
			if isNull(p.node) {
				continue
			}
			target := rv.FieldByIndex(p.f.index)
			if p.f.pointer {
				target = fresh(target)
			}
			d.node(target, p.f, v, p.node, join(path, p.f.key))
		}
	case list:
		if n.Kind != yaml.SequenceNode {
			d.problem(v.at(n), path, "want %s; got %s", f.wants(), kindName(n))
			return
		}
		out := reflect.MakeSlice(rv.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			item = resolve(item)
			element := fmt.Sprintf("%s[%d]", path, i)
			if isNull(item) {
				d.problem(v.at(item), element, "is empty; want %s", f.elem.wants())
				continue
			}
			if item.Line == 0 {
				item.Line, item.Column = n.Line, n.Column
			}
			if def, ok := out.Index(i).Addr().Interface().(Defaulter); ok {
				def.SetDefaults()
			}
			d.node(out.Index(i), f.elem, v, item, element)
		}
		rv.Set(out)
	default:
		if n.Kind != yaml.ScalarNode {
			d.problem(v.at(n), path, "want %s; got %s", f.wants(), kindName(n))
			return
		}
		d.scalar(rv, f, v.at(n), n.Value, path)
	}
}

func (d *decoder) scalar(rv reflect.Value, f *field, at origin, text, path string) {
	resolved, referred, err := expand(text, d.env)
	if errors.Is(err, errNoReference) && f.secret != "" { // the text may be a part of the secret
		d.problem(at, path, "holds a ${ that begins no reference: want %s", wantReference)
		return
	}
	if err != nil {
		d.problem(at, path, "%s", err)
		return
	}
	if referred {
		d.refs[path] = reference{text: text, resolved: resolved}
	}
	if f.secret != "" && resolved == Redacted {
		d.problem(at, path, "holds %q, which is how a secret prints; write the secret, or better a reference to it: ${env:NAME} or ${file:PATH}", Redacted)
		return
	}
	// What a reference brought is never quoted, nor is the text of a secret.
	shown, quotable := fmt.Sprintf("got %q", text), !referred && f.secret == ""
	if referred {
		shown = fmt.Sprintf("what %s holds is not", text)
	} else if f.secret != "" {
		shown = "got something else"
	}
	if len(f.enum) > 0 && resolved != "" && !slices.Contains(f.enum, resolved) {
		near := ""
		if quotable {
			if word := nearest(resolved, f.enum); word != "" {
				near = fmt.Sprintf("; did you mean %q?", word)
			}
		}
		d.problem(at, path, "want %s; %s%s", f.wants(), shown, near)
		return
	}
	if err := setText(rv, resolved); err != nil {
		reason := ""
		if quotable && !errors.Is(err, errKind) {
			reason = ": " + err.Error()
		}
		d.problem(at, path, "want %s; %s%s", f.wants(), shown, reason)
	}
}

// errKind says that there is no more to tell than the wanted kind.
var errKind = errors.New("not of the kind")

// setText is the one place where a text becomes a value.
func setText(rv reflect.Value, text string) error {
	if u, ok := rv.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if rv.Type() == durationType {
		v, err := ParseDuration(text)
		rv.Set(reflect.ValueOf(time.Duration(v)))
		return err
	}
	number := strings.ReplaceAll(strings.TrimSpace(text), "_", "")
	switch rv.Kind() {
	case reflect.String:
		rv.SetString(text)
		return nil
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errKind
		}
		rv.SetBool(text == "true")
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v, err := strconv.ParseInt(number, 10, rv.Type().Bits())
		rv.SetInt(v)
		return numberError(err)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v, err := strconv.ParseUint(number, 10, rv.Type().Bits())
		rv.SetUint(v)
		return numberError(err)
	default: // the schema leaves floats
		v, err := strconv.ParseFloat(number, rv.Type().Bits())
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errKind
		}
		rv.SetFloat(v)
		return numberError(err)
	}
}

func numberError(err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return strconv.ErrRange
	} else if err != nil {
		return errKind
	}
	return nil
}
