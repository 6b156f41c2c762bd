package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// ReferencePrefix begins the environment names in a Reference.
const ReferencePrefix = "PENSTOCK"

// Reference writes the Markdown page of every key: its type, its default as v
// has it, its variable and its meaning, one table a section. A key without a
// help text is an error, so that a test of the page keeps it whole.
func Reference(w io.Writer, v any, title string) error {
	rv, s, err := describe(v)
	if err != nil {
		return err
	}
	r := &referencer{p: &printer{}}
	fmt.Fprintf(&r.b, "# %s\n", title)
	r.section(s.root, rv, 2)
	if len(r.missing) > 0 {
		return errors.Join(r.missing...)
	}
	_, err = io.WriteString(w, r.b.String())
	return err
}

type referencer struct {
	b       strings.Builder
	p       *printer
	missing []error
}

// section writes the keys that stand in a section itself, then the sections
// below it. A missing pointer is shown with the zero values of its type.
func (r *referencer) section(f *field, rv reflect.Value, level int) {
	if f.path != "" {
		fmt.Fprintf(&r.b, "\n%s %s\n", strings.Repeat("#", min(level, 6)), f.path)
		level++
	}
	if f.help != "" {
		fmt.Fprintf(&r.b, "\n%s\n", f.help)
	}
	head := false
	var below []*field
	for _, c := range f.children {
		if c.help == "" && c.kind != section {
			r.missing = append(r.missing, fmt.Errorf("%s has no help text: add a help tag to its field", c.path))
		}
		if c.kind == section || c.kind == list && c.elem.kind == section {
			below = append(below, c)
		}
		if c.kind == section {
			continue
		}
		if !head {
			head = true
			r.b.WriteString("\n| Key | Type | Default | Environment | Meaning |\n|---|---|---|---|---|\n")
		}
		env := ""
		if !strings.Contains(c.path, "[]") {
			env = "`" + EnvName(ReferencePrefix, c.path) + "`"
		}
		fmt.Fprintf(&r.b, "| `%s` | %s | %s | %s | %s |\n", c.path, c.typeName(), r.def(c, rv.FieldByIndex(c.index)), env, c.meaning())
	}
	for _, c := range below {
		value := rv.FieldByIndex(c.index)
		if c.kind == list {
			elem := *c.elem
			elem.help = "Each entry of `" + c.path + "`."
			r.section(&elem, newElement(c), level)
			continue
		}
		if c.pointer {
			if value.IsNil() {
				value = reflect.New(c.typ)
			}
			value = value.Elem()
		}
		r.section(c, value, level)
	}
}

// newElement is an entry of a list as it is before the file's values.
func newElement(f *field) reflect.Value {
	p := reflect.New(f.elem.typ)
	if def, ok := p.Interface().(Defaulter); ok {
		def.SetDefaults()
	}
	return p.Elem()
}

func (r *referencer) def(f *field, rv reflect.Value) string {
	n := r.p.node(rv, f, f.path)
	text := n.Value
	switch {
	case f.kind == list && len(n.Content) == 0, n.Tag == "!!null", text == "" && f.kind == scalar:
		return ""
	case f.kind == list:
		data, err := nodeJSON(n)
		if err != nil {
			return "(" + err.Error() + ")"
		}
		text = string(data)
	}
	return "`" + cell(text) + "`"
}

func (f *field) typeName() string {
	switch {
	case f.kind == list && f.elem.kind == section:
		return "list of entries"
	case f.kind == list:
		return "list of " + f.elem.typeName()
	case len(f.enum) > 0:
		quoted := make([]string, len(f.enum))
		for i, e := range f.enum {
			quoted[i] = "`" + e + "`"
		}
		return strings.Join(quoted, ", ")
	}
	switch f.typ {
	case reflect.TypeFor[ByteSize]():
		return "size"
	case reflect.TypeFor[Duration](), reflect.TypeFor[time.Duration]():
		return "duration"
	case secretType:
		return "secret"
	}
	switch f.base() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	default:
		return "text"
	}
}

func (f *field) meaning() string {
	text := cell(f.help)
	if f.example != "" {
		text += " Example: `" + cell(f.example) + "`."
	}
	return text
}

// cell keeps a text within its table cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
