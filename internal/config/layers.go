package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// layers merges the sources with viper; its leafs are *value, so that each key
// keeps its position, and its case folding meets only keys that are lower case.
type layers struct {
	schema   *schema
	v        *viper.Viper
	problems Problems
	// shadowed are values that a higher layer replaced. They are decoded into
	// nothing, so that a mistake in a file is seen even while a flag covers it.
	shadowed []shadowed
	// merges counts the merge keys followed. Aliases can nest, and a mapping
	// can merge itself, so that there must be an end.
	merges int
}

const maxMerges = 1000

type shadowed struct {
	f *field
	v *value
}

func (l *layers) problem(o origin, key, format string, args ...any) {
	l.problems = append(l.problems, Problem{Source: o.source, Line: o.line, Column: o.column, Key: key, Msg: fmt.Sprintf(format, args...)})
}

// pair is one key of a mapping that the schema knows.
type pair struct {
	f    *field
	node *yaml.Node
}

// pairs checks the keys of a mapping: each must be known and be there once.
// A merge key (<<) gives what the mapping does not say itself.
func (l *layers) pairs(v *value, n *yaml.Node, f *field, path string) []pair {
	if n.Kind != yaml.MappingNode {
		l.problem(v.at(n), path, "want %s; got %s", f.wants(), kindName(n))
		return nil
	}
	var found []pair
	var merged []*yaml.Node
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], resolve(n.Content[i+1])
		if k.Tag == "!!merge" {
			if l.merges++; l.merges > maxMerges {
				if l.merges == maxMerges+1 {
					l.problem(v.at(k), path, "more than %d merge keys (<<) are followed; does a section merge itself?", maxMerges)
				}
				continue
			}
			if merged = append(merged, val); val.Kind == yaml.SequenceNode {
				merged = append(merged[:len(merged)-1], val.Content...)
			}
			continue
		}
		if line, twice := seen[k.Value]; twice {
			l.problem(v.at(k), join(path, k.Value), "written twice, first on line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		c := f.child(k.Value)
		if c == nil {
			l.problem(v.at(k), join(path, k.Value), "unknown key%s", l.suggest(k.Value, f))
			continue
		}
		if val.Line == 0 {
			val.Line, val.Column = k.Line, k.Column
		}
		found = append(found, pair{c, val})
	}
	for _, m := range merged {
		for _, p := range l.pairs(v, resolve(m), f, path) {
			if !slices.ContainsFunc(found, func(q pair) bool { return q.f == p.f }) {
				found = append(found, p)
			}
		}
	}
	return found
}

// suggest finds what an unknown key may have meant.
func (l *layers) suggest(key string, f *field) string {
	if near := nearest(key, f.keys()); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	for _, known := range l.schema.all {
		if known.key == key {
			return "; there is " + known.path
		}
	}
	return "; known here: " + strings.Join(f.keys(), ", ")
}

// file adds the file's layer.
func (l *layers) file(name string, root *yaml.Node) error {
	if isNull(root) {
		return nil
	}
	v := &value{source: name}
	return l.v.MergeConfigMap(l.tree(v, resolve(root), l.schema.root, ""))
}

func (l *layers) tree(v *value, n *yaml.Node, f *field, path string) map[string]any {
	tree := map[string]any{}
	for _, p := range l.pairs(v, n, f, path) {
		switch {
		case isNull(p.node): // "key:" with nothing behind it leaves the default
		case p.f.kind == section:
			tree[p.f.key] = l.tree(v, p.node, p.f, p.f.path)
		default:
			tree[p.f.key] = &value{node: p.node, source: v.source}
		}
	}
	return tree
}

// set adds one dotted key from a flag.
func (l *layers) set(key, text, source string) error {
	f := l.schema.paths[key]
	if f == nil {
		hint := ""
		paths := make([]string, len(l.schema.leafs))
		for i, leaf := range l.schema.leafs {
			paths[i] = leaf.path
		}
		if near := nearest(key, paths); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		l.problem(origin{source: source}, key, "unknown key%s", hint)
		return nil
	}
	if f.kind == section {
		l.problem(origin{source: source}, key, "is a section; set one of its keys: %s", strings.Join(f.keys(), ", "))
		return nil
	}
	return l.add(f, text, source, true)
}

// add puts a text on top of what the key has so far.
func (l *layers) add(f *field, text, source string, flag bool) error {
	node, err := textNode(f, text)
	if err != nil {
		l.problem(origin{source: source}, f.path, "%s", err)
		return nil
	}
	v := &value{node: node, source: source}
	if below, ok := l.v.Get(f.path).(*value); ok {
		l.shadowed = append(l.shadowed, shadowed{f, below})
	}
	if flag {
		l.v.Set(f.path, v)
		return nil
	}
	tree := map[string]any{f.key: v}
	parts := strings.Split(f.path, ".")
	for i := len(parts) - 2; i >= 0; i-- {
		tree = map[string]any{parts[i]: tree}
	}
	return l.v.MergeConfigMap(tree)
}
