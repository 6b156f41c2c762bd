package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Merge is the configuration that runs once the keys of next whose path is live
// have been taken over: all other keys are as they are in l. A path is that of a
// [Change]; who says that a list is live says it of all that is in it. Neither l nor
// next is changed, and nothing that they hold is shared with the result.
//
// The result has been validated: that l and next are valid does not make a mixture
// of them valid. Problems then say what does not go together.
func (l *Loaded) Merge(next *Loaded, live func(path string) bool) (*Loaded, error) {
	old, s, err := describe(l.v)
	if err != nil {
		return nil, err
	}
	new, _, err := describe(next.v)
	if err != nil {
		return nil, err
	}
	if old.Type() != new.Type() {
		return nil, fmt.Errorf("BUG: a %s is merged with a %s", old.Type(), new.Type())
	}
	target := reflect.New(old.Type())
	target.Elem().Set(old)
	m := &merger{live: live, out: &Loaded{v: target.Interface(), origins: map[string]origin{}, refs: map[string]reference{}}}
	m.node(from{l, ""}, from{next, ""}, target.Elem(), new, s.root, "")
	d := &decoder{layers: &layers{schema: s}, origins: m.out.origins}
	d.validate(target.Elem(), s.root, "")
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	return m.out, nil
}

// Value is the pointer to the struct that was loaded.
func (l *Loaded) Value() any { return l.v }

// merger takes over what is live.
type merger struct {
	live func(path string) bool
	out  *Loaded
}

// from is where a value is in one of the two: list elements may stand at another
// index there.
type from struct {
	l    *Loaded
	path string
}

func (f from) at(key string) from { return from{f.l, join(f.path, key)} }

// node makes rv, which shares what it points to with the old configuration, what
// is to run.
func (m *merger) node(old, next from, rv, new reflect.Value, f *field, path string) {
	switch {
	case f.path != "" && m.live(f.path):
		m.keep(next, rv, new, f, path)
	case f.pointer && (rv.IsNil() || new.IsNil()):
		m.keep(old, rv, rv, f, path)
	case f.kind == section:
		if f.pointer {
			rv, new = fresh(rv), new.Elem()
		}
		m.note(old, path)
		for _, c := range f.children {
			m.node(old.at(c.key), next.at(c.key), rv.FieldByIndex(c.index), new.FieldByIndex(c.index), c, join(path, c.key))
		}
	case f.kind == list && f.elem.kind == section:
		m.note(old, path)
		m.list(old, next, rv, new, f, path)
	default:
		m.keep(old, rv, rv, f, path)
	}
}

// list takes over what is live in the elements that both have.
func (m *merger) list(old, next from, rv, new reflect.Value, f *field, path string) {
	before, after := names(rv, f), names(new, f)
	out := reflect.MakeSlice(rv.Type(), rv.Len(), rv.Len())
	reflect.Copy(out, rv)
	for i := range out.Len() {
		element, j := fmt.Sprintf("[%d]", i), i
		if before != nil && after != nil {
			j = slices.Index(after, before[i])
		}
		if j < 0 || j >= new.Len() {
			m.keep(old.at(element), out.Index(i), out.Index(i), f.elem, path+element)
			continue
		}
		m.node(old.at(element), next.at(fmt.Sprintf("[%d]", j)), out.Index(i), new.Index(j), f.elem, path+element)
	}
	if !rv.IsNil() {
		rv.Set(out)
	}
}

// keep copies a value whole, with all that is known of where it is from.
func (m *merger) keep(src from, rv, value reflect.Value, f *field, path string) {
	rv.Set(clone(value, f))
	for key := range maps.Keys(src.l.origins) {
		if within(key, src.path) {
			m.note(from{src.l, key}, path+key[len(src.path):])
		}
	}
}

// note takes over where one key is from.
func (m *merger) note(src from, path string) {
	if o, ok := src.l.origins[src.path]; ok {
		m.out.origins[path] = o
	}
	if r, ok := src.l.refs[src.path]; ok {
		m.out.refs[path] = r
	}
}

// clone is a copy that shares no slice and no pointer with rv.
func clone(rv reflect.Value, f *field) reflect.Value {
	out := reflect.New(rv.Type()).Elem()
	out.Set(rv)
	value := out
	if f.pointer {
		if rv.IsNil() {
			return out
		}
		value = fresh(out)
	}
	switch f.kind {
	case section:
		for _, c := range f.children {
			part := value.FieldByIndex(c.index)
			part.Set(clone(part, c))
		}
	case list:
		if value.IsNil() {
			return out
		}
		items := reflect.MakeSlice(value.Type(), value.Len(), value.Len())
		for i := range value.Len() {
			items.Index(i).Set(clone(value.Index(i), f.elem))
		}
		value.Set(items)
	}
	return out
}
