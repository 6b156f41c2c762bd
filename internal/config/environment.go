package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

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
