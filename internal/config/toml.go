package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"go.yaml.in/yaml/v3"
)

// parseTOML turns a TOML document into the nodes that YAML would have given.
// The values come from the library's decoder, the positions from a second pass
// over its syntax tree, which knows where each key stands.
func parseTOML(data []byte, source string) (*yaml.Node, error) {
	at, twice, syntaxErr := tomlPositions(data)
	if len(twice) > 0 {
		for i := range twice {
			twice[i].Source = source
		}
		return nil, twice
	}
	var doc map[string]any
	if err := toml.Unmarshal(data, &doc); err != nil {
		p := Problem{Source: source, Msg: "not valid TOML: " + err.Error()}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			p.Line, p.Column = de.Position()
		}
		return nil, Problems{p}
	}
	if syntaxErr != nil {
		return nil, Problems{{Source: source, Msg: "not valid TOML: " + syntaxErr.Error()}}
	}
	return tomlNode(doc, "", at), nil
}

type position struct{ line, column int }

func tomlNode(v any, path string, at map[string]position) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: at[path].line, Column: at[path].column}
	switch x := v.(type) {
	case map[string]any:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b string) int {
			pa, pb := at[join(path, a)], at[join(path, b)]
			return slices.Compare([]int{pa.line, pa.column}, []int{pb.line, pb.column})
		})
		for _, k := range keys {
			p := at[join(path, k)]
			n.Content = append(n.Content,
				&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: k, Line: p.line, Column: p.column},
				tomlNode(x[k], join(path, k), at))
		}
	case []any:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for i, e := range x {
			child := fmt.Sprintf("%s[%d]", path, i)
			if _, known := at[child]; !known {
				at[child] = at[path] // an element of an inline list has no key of its own
			}
			n.Content = append(n.Content, tomlNode(e, child, at))
		}
	case string:
		n.Value = x
	case int64:
		n.Tag, n.Value = "!!int", strconv.FormatInt(x, 10)
	case float64:
		n.Tag, n.Value = "!!float", strconv.FormatFloat(x, 'g', -1, 64)
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(x)
	case time.Time:
		n.Value = x.Format(time.RFC3339Nano)
	default:
		n.Value = fmt.Sprint(x) // local dates and times
	}
	return n
}

// tomlPositions maps each key's path to where it was first written, and finds
// the keys that have two values, of which the decoder knows no line.
func tomlPositions(data []byte) (map[string]position, Problems, error) {
	at, tables, values := map[string]position{}, map[string]int{}, map[string]position{}
	var twice Problems
	var p unstable.Parser
	p.Reset(data)
	var last position
	note := func(prefix string, keys unstable.Iterator) string {
		for keys.Next() {
			k := keys.Node()
			// A table of a list that is open: [[destinations]], [destinations.tls].
			if n, open := tables[prefix]; open {
				prefix = fmt.Sprintf("%s[%d]", prefix, n-1)
			}
			prefix = join(prefix, string(k.Data))
			start := p.Shape(k.Raw).Start
			last = position{start.Line, start.Column}
			if _, known := at[prefix]; !known {
				at[prefix] = last
			}
		}
		return prefix
	}
	var inside func(prefix string, n *unstable.Node)
	inside = func(prefix string, n *unstable.Node) {
		switch n.Kind {
		case unstable.InlineTable:
			for it := n.Children(); it.Next(); {
				inside(note(prefix, it.Node().Key()), it.Node().Value())
			}
		case unstable.Array:
			i := 0
			for it := n.Children(); it.Next(); i++ {
				inside(fmt.Sprintf("%s[%d]", prefix, i), it.Node())
			}
		}
	}
	table := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table:
			table = note("", e.Key())
		case unstable.ArrayTable:
			table = note("", e.Key())
			tables[table]++
			element := fmt.Sprintf("%s[%d]", table, tables[table]-1)
			for keys := e.Key(); keys.Next(); {
				start := p.Shape(keys.Node().Raw).Start
				at[element] = position{start.Line, start.Column}
			}
			table = element
		case unstable.KeyValue:
			path := note(table, e.Key())
			if first, again := values[path]; again {
				twice = append(twice, Problem{Line: last.line, Column: last.column, Key: path, Msg: fmt.Sprintf("written twice, first on line %d", first.line)})
			}
			values[path] = last
			inside(path, e.Value())
		}
	}
	return at, twice, p.Error()
}
