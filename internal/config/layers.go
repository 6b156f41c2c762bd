package config

import (
	"fmt"
	"regexp"
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

// EnvName is the environment variable of a key.
func EnvName(prefix, key string) string {
	return prefix + "_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// serviceLink matches what Kubernetes and Docker put into a container's
// environment for a service whose name begins with our prefix: a Service called
// penstock-gateway gives PENSTOCK_GATEWAY_PORT_4317_TCP_ADDR. Nobody wrote them.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// environment adds the environment's layer. An empty variable counts as not set.
func (l *layers) environment(prefix string, environ, allowed []string) error {
	byName := map[string]*field{}
	names := []string{}
	for _, f := range l.schema.leafs {
		name := EnvName(prefix, f.path)
		if other, taken := byName[name]; taken {
			return fmt.Errorf("BUG: the keys %s and %s share the environment variable %s", other.path, f.path, name)
		}
		byName[name], names = f, append(names, name)
	}
	// Later entries win, as in os/exec.
	set := map[string]string{}
	order := []string{}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix+"_") || text == "" {
			continue
		}
		if _, again := set[name]; !again {
			order = append(order, name)
		}
		set[name] = text
	}
	slices.Sort(order)
	for _, name := range order {
		source := "environment variable " + name
		f := byName[name]
		switch {
		case f != nil:
			if err := l.add(f, set[name], source, false); err != nil {
				return err
			}
		case slices.Contains(allowed, name), serviceLink.MatchString(name):
		default:
			hint := "unset it, or see the reference for the names"
			if near := nearest(name, names); near != "" {
				hint = "did you mean " + near + "?"
			}
			l.problem(origin{source: source}, "", "sets no known key; %s", hint)
		}
	}
	return nil
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

// textNode reads the text of a variable or flag: a scalar is the text itself; a
// list is YAML or JSON in brackets, or items between commas; a list of
// NameValue also "name=value,name=value".
func textNode(f *field, text string) (*yaml.Node, error) {
	item := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }
	if f.kind == scalar {
		return item(text), nil
	}
	trimmed := strings.TrimSpace(text)
	if strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]") || strings.Contains(trimmed, "\n") {
		node, err := parseYAML([]byte(text), "")
		if err != nil {
			// The parser's words may quote the text, which may hold a secret.
			return nil, fmt.Errorf("the text is not valid YAML or JSON; want %s", f.wants())
		}
		if node != nil {
			return unplaced(node), nil
		}
		trimmed = "" // nothing but comments
	}
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if trimmed == "" {
		return node, nil
	}
	for part := range strings.SplitSeq(trimmed, ",") {
		part = strings.TrimSpace(part)
		switch name, val, ok := strings.Cut(part, "="); {
		case f.elem.kind == scalar:
			node.Content = append(node.Content, item(part))
		case f.elem.typ == nameValueType && ok:
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
				item("name"), item(strings.TrimSpace(name)), item("value"), item(strings.TrimSpace(val)),
			}})
		default:
			return nil, fmt.Errorf("want %s, as YAML or JSON in brackets: [{...}]", f.wants())
		}
	}
	return node, nil
}

// unplaced removes line numbers that would point into a variable.
func unplaced(n *yaml.Node) *yaml.Node {
	n.Line, n.Column = 0, 0
	for _, c := range n.Content {
		unplaced(c)
	}
	return n
}
