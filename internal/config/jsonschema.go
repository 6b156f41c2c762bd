package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// jsonSchema is the part of JSON Schema 2020-12 that a configuration needs.
type jsonSchema struct {
	Schema      string                 `json:"$schema,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Type        any                    `json:"type,omitempty"`
	Properties  map[string]*jsonSchema `json:"properties,omitempty"`
	Additional  *bool                  `json:"additionalProperties,omitempty"`
	Items       *jsonSchema            `json:"items,omitempty"`
	Pattern     string                 `json:"pattern,omitempty"`
	Minimum     *int                   `json:"minimum,omitempty"`
	AnyOf       []*jsonSchema          `json:"anyOf,omitempty"`
	Enum        []string               `json:"enum,omitempty"`
	Default     json.RawMessage        `json:"default,omitempty"`
	Examples    []string               `json:"examples,omitempty"`
}

// refPattern lets a reference stand where a number or a choice is wanted.
const refPattern = `\$\{(env|file):`

// Schema is the JSON Schema (2020-12) of a configuration file, for editors and
// for checks before a deployment: every key, its type, its default as v has it,
// and nothing beside. It has no required keys, since each has a default or a
// check of its own.
func Schema(v any) ([]byte, error) {
	rv, s, err := describe(v)
	if err != nil {
		return nil, err
	}
	root, err := schemaNode(s.root, rv)
	if err != nil {
		return nil, err
	}
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Penstock configuration"
	out, err := json.MarshalIndent(root, "", "  ")
	return append(out, '\n'), err
}

func schemaNode(f *field, rv reflect.Value) (*jsonSchema, error) {
	n := &jsonSchema{Description: f.help}
	if f.example != "" {
		n.Examples = []string{f.example}
	}
	if f.pointer {
		if rv.IsNil() && f.kind == section {
			rv = reflect.New(f.typ)
		}
	}
	switch f.kind {
	case section:
		if f.pointer {
			rv = rv.Elem()
		}
		closed := false
		// "key:" with nothing behind it keeps the defaults.
		n.Type, n.Additional, n.Properties = []string{"object", "null"}, &closed, map[string]*jsonSchema{}
		if f.path == "" {
			n.Type = "object"
		}
		for _, c := range f.children {
			child, err := schemaNode(c, rv.FieldByIndex(c.index))
			if err != nil {
				return nil, err
			}
			n.Properties[c.key] = child
		}
		return n, nil
	case list:
		items, err := schemaNode(f.elem, newElement(f))
		if err != nil {
			return nil, err
		}
		if f.elem.kind == section {
			items.Type = "object"
		} else {
			items.Default = nil
		}
		n.Type, n.Items = []string{"array", "null"}, items
		return n, nil
	}
	printed := (&printer{}).node(rv, f, f.path)
	if printed.Tag != "!!null" && f.secret == "" {
		data, err := nodeJSON(printed)
		if err != nil {
			return nil, fmt.Errorf("default of %s: %w", f.path, err)
		}
		n.Default = data
	}
	f.scalarSchema(n)
	return n, nil
}

func (f *field) scalarSchema(n *jsonSchema) {
	if len(f.enum) > 0 {
		n.AnyOf = []*jsonSchema{{Enum: append([]string{""}, f.enum...)}, {Type: "string", Pattern: refPattern}, {Type: "null"}}
		return
	}
	zero := 0
	switch f.typ {
	case reflect.TypeFor[ByteSize]():
		n.Type, n.Minimum = []string{"string", "integer", "null"}, &zero
		n.Pattern = refPattern + `|^\s*[0-9.]+\s*([kKmMgGtTpP][iI]?)?[bB]?\s*$`
		return
	case reflect.TypeFor[Duration](), reflect.TypeFor[time.Duration]():
		n.Type, n.Pattern = []string{"string", "integer", "null"}, refPattern+`|^\s*[-+]?(0|([0-9.]+(ns|us|µs|ms|s|m|h|d))+)\s*$`
		return
	}
	switch f.base() {
	case reflect.Bool:
		n.Type, n.Pattern = []string{"boolean", "string", "null"}, refPattern+`|^(true|false)$`
	case reflect.Float32, reflect.Float64:
		n.Type, n.Pattern = []string{"number", "string", "null"}, refPattern+`|^\s*[-+0-9.eE_]+\s*$`
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.Type, n.Pattern = []string{"integer", "string", "null"}, refPattern+`|^\s*[-+0-9_]+\s*$`
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n.Type, n.Pattern, n.Minimum = []string{"integer", "string", "null"}, refPattern+`|^\s*[0-9_]+\s*$`, &zero
	default:
		n.Type = []string{"string", "number", "boolean", "null"} // a text may look like a number
	}
}
