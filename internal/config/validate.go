package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
)

// Validator is a struct that can check itself. Value and pointer receivers both
// count. It speaks of its own keys, by KeyError where it can.
type Validator interface{ Validate() error }

// Validate asks every struct of a configuration, from the inside out, and
// returns all that they say as Problems, each with its full key.
func Validate(v any) error {
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	s, err := schemaOf(rv.Type())
	if err != nil {
		return err
	}
	target := reflect.New(rv.Type()).Elem() // addressable, for pointer receivers
	target.Set(rv)
	d := &decoder{layers: &layers{schema: s}}
	d.validate(target, s.root, "")
	if len(d.problems) > 0 {
		return d.problems
	}
	return nil
}

func (d *decoder) validate(rv reflect.Value, f *field, path string) {
	switch {
	case f.kind == list:
		for i := range rv.Len() {
			d.validate(rv.Index(i), f.elem, fmt.Sprintf("%s[%d]", path, i))
		}
		return
	case f.kind != section:
		return
	}
	before := len(d.problems)
	for _, c := range f.children {
		target := rv.FieldByIndex(c.index)
		if c.pointer {
			if target.IsNil() {
				continue
			}
			target = target.Elem()
		}
		d.validate(target, c, join(path, c.key))
	}
	// A struct with a value that could not be read would complain of the
	// default that stands there instead.
	if slices.ContainsFunc(d.problems[:before], func(p Problem) bool { return within(p.Key, path) }) {
		return
	}
	if val, ok := rv.Addr().Interface().(Validator); ok {
		d.blame(val.Validate(), path)
	}
}

// blame turns what Validate returned into problems, one for each joined error.
func (d *decoder) blame(err error, path string) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			d.blame(e, path)
		}
		return
	}
	key, msg := path, err.Error()
	var ke *keyError
	if errors.As(err, &ke) {
		key, msg = join(path, ke.key), ke.err.Error()
	}
	at := d.nearestOrigin(key)
	d.problems = append(d.problems, Problem{Source: at.source, Line: at.line, Column: at.column, Key: key, Msg: msg, err: err})
}

var lastPart = regexp.MustCompile(`(\.[^.\[]+|\[\d+\]|^[^.\[]+)$`)

// nearestOrigin is where the key was written, or the list element it is in.
func (d *decoder) nearestOrigin(key string) origin {
	for key != "" {
		if o, ok := d.origins[key]; ok {
			return o
		}
		shorter := lastPart.ReplaceAllString(key, "")
		if shorter == key {
			break
		}
		key = shorter
	}
	return origin{}
}
