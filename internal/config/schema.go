package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

type kind uint8

const (
	scalar kind = iota
	section
	list
)

// field is one key, as the struct's tags describe it.
type field struct {
	key      string
	path     string // dotted; "[]" stands for an index
	help     string
	example  string
	secret   string // "", "true", "url"
	enum     []string
	kind     kind
	pointer  bool
	typ      reflect.Type // without the pointer
	index    []int        // within the parent struct
	children []*field     // of a section, and of a list of sections through elem
	elem     *field       // of a list
}

// schema is all keys of one struct type.
type schema struct {
	root  *field
	all   []*field          // every key outside of lists, in the struct's order
	leafs []*field          // those that a layer can set: scalars and lists
	paths map[string]*field // leafs and sections by path
}

// Defaulter gives the elements of a list their defaults before the file's
// values are set; structs elsewhere get theirs from the value given to Load.
type Defaulter interface{ SetDefaults() }

var (
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
	nameValueType   = reflect.TypeFor[NameValue]()
	secretType      = reflect.TypeFor[Secret]()
)

// schemaOf describes a struct type. Its errors are mistakes in the program, and
// so is any that a test of the role's Reference would have shown.
func schemaOf(t reflect.Type) (*schema, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("BUG: a configuration is a struct, not %s", t)
	}
	s := &schema{root: &field{kind: section, typ: t}, paths: map[string]*field{}}
	if err := s.fill(s.root, t, nil, nil); err != nil {
		return nil, fmt.Errorf("BUG: configuration %s: %w", t, err)
	}
	s.collect(s.root)
	return s, nil
}

func (s *schema) fill(parent *field, t reflect.Type, index []int, seen []reflect.Type) error {
	if slices.Contains(seen, t) {
		return fmt.Errorf("%s contains itself", t)
	}
	seen = append(slices.Clone(seen), t)
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		inline := options == "inline"
		if name == "-" || !sf.IsExported() && !(inline && sf.Anonymous) {
			continue
		}
		at := append(slices.Clone(index), i)
		if inline {
			if sf.Type.Kind() != reflect.Struct {
				return fmt.Errorf("field %s.%s is inline and not a struct", t, sf.Name)
			}
			if err := s.fill(parent, sf.Type, at, seen); err != nil {
				return err
			}
			continue
		}
		if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, ".[] ") {
			return fmt.Errorf("field %s.%s needs a yaml tag in lower case without . [ ], or \"-\"; it has %q", t, sf.Name, name)
		}
		if slices.ContainsFunc(parent.children, func(f *field) bool { return f.key == name }) {
			return fmt.Errorf("field %s.%s: the key %q exists twice", t, sf.Name, name)
		}
		f := &field{
			key: name, path: join(parent.path, name), index: at, typ: sf.Type,
			help: sf.Tag.Get("help"), example: sf.Tag.Get("example"), secret: sf.Tag.Get("secret"),
		}
		if enum := sf.Tag.Get("enum"); enum != "" {
			f.enum = strings.Split(enum, ",")
		}
		if err := s.classify(f, seen); err != nil {
			return err
		}
		parent.children = append(parent.children, f)
	}
	return nil
}

// classify finds what kind of key a type makes, and describes what is below it.
func (s *schema) classify(f *field, seen []reflect.Type) error {
	if f.typ.Kind() == reflect.Pointer {
		f.pointer, f.typ = true, f.typ.Elem()
	}
	if f.typ == secretType && f.secret == "" {
		f.secret = "true"
	}
	if reflect.PointerTo(f.typ).Implements(unmarshalerType) {
		return nil
	}
	switch f.typ.Kind() {
	case reflect.Struct:
		f.kind = section
		return s.fill(f, f.typ, nil, seen)
	case reflect.Slice:
		f.kind = list
		f.elem = &field{path: f.path + "[]", typ: f.typ.Elem(), enum: f.enum, secret: f.secret, example: f.example}
		if err := s.classify(f.elem, seen); err != nil {
			return err
		}
		if f.elem.kind == list || f.elem.pointer {
			return fmt.Errorf("%s: a list of lists or of pointers is not supported", f.path)
		}
		return nil
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Map:
		return fmt.Errorf("%s is a map, whose keys would lose their case: use []config.NameValue", f.path)
	default:
		return fmt.Errorf("%s has type %s, which is not supported", f.path, f.typ)
	}
}

func (s *schema) collect(f *field) {
	if f.path != "" {
		s.paths[f.path], s.all = f, append(s.all, f)
	}
	if f.kind != section {
		s.leafs = append(s.leafs, f)
		return
	}
	for _, c := range f.children {
		s.collect(c)
	}
}

func (f *field) child(key string) *field {
	for _, c := range f.children {
		if c.key == key {
			return c
		}
	}
	return nil
}

func (f *field) keys() []string {
	keys := make([]string, len(f.children))
	for i, c := range f.children {
		keys[i] = c.key
	}
	return keys
}

// wants says what may be written, with an example.
func (f *field) wants() string {
	if len(f.enum) > 0 && f.kind == scalar {
		return "one of " + strings.Join(f.enum, ", ")
	}
	text, example := f.describe()
	if f.example != "" {
		example = f.example
	}
	if example == "" {
		return text
	}
	return text + " such as " + example
}

func (f *field) describe() (text, example string) {
	switch {
	case f.kind == section:
		return "a section with the keys " + strings.Join(f.keys(), ", "), ""
	case f.kind == list && f.elem.kind == section:
		return "a list of entries with the keys " + strings.Join(f.elem.keys(), ", "), ""
	case f.kind == list:
		_, example = f.elem.describe()
		return "a list", "[" + example + "]"
	}
	switch f.typ {
	case reflect.TypeFor[ByteSize]():
		return "a size in bytes", "64MiB"
	case reflect.TypeFor[Duration](), durationType:
		return "a duration", "45s"
	case secretType:
		return "a text", "${env:NAME}"
	}
	switch f.base() {
	case reflect.Bool:
		return "true or false", ""
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number", "100"
	case reflect.Float32, reflect.Float64:
		return "a number", "0.5"
	}
	if f.base() == reflect.Invalid {
		return "a text", ""
	}
	return "a text", "name"
}

// base is the kind that a scalar is written as; Invalid for a type that reads
// its own text, of which nothing more is known.
func (f *field) base() reflect.Kind {
	if reflect.PointerTo(f.typ).Implements(unmarshalerType) {
		return reflect.Invalid
	}
	return f.typ.Kind()
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	if key == "" || key[0] == '[' {
		return path + key
	}
	return path + "." + key
}

// within says whether path is at or below section.
func within(path, section string) bool {
	rest, ok := strings.CutPrefix(path, section)
	return ok && (section == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}
