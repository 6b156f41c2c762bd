package config

import (
	"fmt"
	"reflect"
	"slices"
)

// Change is a key that has another value in one configuration than in another.
// It never holds a value.
type Change struct {
	// Key is where: "log.level", "destinations[prod].timeout". An element of a
	// list is named by its name if each has one of its own, else by its index.
	Key string
	// Path is the same for every element: "destinations[].timeout". An element
	// that is there in one configuration only is "destinations[]", and a list
	// whose elements are the same in another order is "destinations".
	Path string
}

// Changed lists what differs between two configurations of one type, in the
// order of the struct. Secrets are compared as everything is.
func Changed(old, new any) []Change {
	before, s, err := describe(old)
	if err != nil {
		panic(err) // a struct that no Load accepts
	}
	after, _, err := describe(new)
	if err != nil {
		panic(err)
	}
	if before.Type() != after.Type() {
		panic(fmt.Sprintf("BUG: a %s is compared with a %s", before.Type(), after.Type()))
	}
	d := &differ{}
	d.node(before, after, s.root, "")
	return d.found
}

// differ walks two configurations at once.
type differ struct{ found []Change }

func (d *differ) add(key string, f *field) {
	d.found = append(d.found, Change{Key: key, Path: f.path})
}

func (d *differ) node(old, new reflect.Value, f *field, key string) {
	if f.pointer {
		switch {
		case old.IsNil() && new.IsNil():
			return
		case old.IsNil() || new.IsNil():
			d.add(key, f)
			return
		}
		old, new = old.Elem(), new.Elem()
	}
	switch {
	case f.kind == section:
		for _, c := range f.children {
			d.node(old.FieldByIndex(c.index), new.FieldByIndex(c.index), c, join(key, c.key))
		}
	case f.kind == list && f.elem.kind == section:
		d.list(old, new, f, key)
	case f.kind == list:
		if old.Len() != new.Len() || old.Len() > 0 && !reflect.DeepEqual(old.Interface(), new.Interface()) {
			d.add(key, f)
		}
	default:
		if !reflect.DeepEqual(old.Interface(), new.Interface()) {
			d.add(key, f)
		}
	}
}

// list compares lists of sections: by name, or one after the other.
func (d *differ) list(old, new reflect.Value, f *field, key string) {
	before, after := names(old, f), names(new, f)
	if before == nil || after == nil {
		for i := range max(old.Len(), new.Len()) {
			at := fmt.Sprintf("%s[%d]", key, i)
			if i >= old.Len() || i >= new.Len() {
				d.add(at, f.elem)
				continue
			}
			d.node(old.Index(i), new.Index(i), f.elem, at)
		}
		return
	}
	var kept []string
	for i, name := range before {
		at := fmt.Sprintf("%s[%s]", key, name)
		j := slices.Index(after, name)
		if j < 0 {
			d.add(at, f.elem)
			continue
		}
		kept = append(kept, name)
		d.node(old.Index(i), new.Index(j), f.elem, at)
	}
	var order []string
	for _, name := range after {
		if slices.Contains(before, name) {
			order = append(order, name)
		} else {
			d.add(fmt.Sprintf("%s[%s]", key, name), f.elem)
		}
	}
	if !slices.Equal(kept, order) {
		d.add(key, f)
	}
}

// names are those of a list's elements, or nil unless each has one of its own. The
// names of an empty list are empty, not nil.
func names(rv reflect.Value, f *field) []string {
	c := f.elem.child("name")
	if c == nil || c.base() != reflect.String || c.secret != "" || c.pointer {
		return nil
	}
	out := make([]string, 0, rv.Len())
	for i := range rv.Len() {
		name := rv.Index(i).FieldByIndex(c.index).String()
		if name == "" || slices.Contains(out, name) {
			return nil
		}
		out = append(out, name)
	}
	return out
}
