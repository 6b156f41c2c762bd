package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds what is read of a configuration file and of a ${file:} one.
const maxFile = 4 << 20

// origin is where a value was written.
type origin struct {
	source       string
	line, column int
}

func (o origin) String() string {
	if o.line > 0 {
		return fmt.Sprintf("%s:%d", o.source, o.line)
	}
	return o.source
}

// value is what a layer holds for one key. Every source is turned into YAML
// nodes, so that one decoder serves them all.
type value struct {
	node   *yaml.Node
	source string
}

// LogValue keeps values out of any log of the layers.
func (*value) LogValue() slog.Value { return slog.StringValue(Redacted) }

func (v *value) at(n *yaml.Node) origin {
	return origin{source: v.source, line: n.Line, column: n.Column}
}

// readFile parses a file into one mapping node; a nil node is an empty file.
func readFile(name string) (*yaml.Node, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("configuration file %s is larger than %s", name, ByteSize(maxFile))
	}
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".yaml", ".yml", ".json":
		return parseYAML(data, name)
	case ".toml":
		return parseTOML(data, name)
	default:
		return nil, fmt.Errorf("configuration file %s: unknown kind %q, the name must end in .yaml, .yml, .json or .toml", name, ext)
	}
}

// parseYAML returns the document's root, or nil when there is none.
func parseYAML(data []byte, source string) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, Problems{syntaxProblem(err, source)}
	}
	if err := dec.Decode(&second); err == nil {
		return nil, Problems{{Source: source, Line: second.Line, Msg: "a second YAML document begins here; one file is one document"}}
	} else if !errors.Is(err, io.EOF) {
		return nil, Problems{syntaxProblem(err, source)}
	}
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

func syntaxProblem(err error, source string) Problem {
	p := Problem{Source: source, Msg: "not valid YAML: " + err.Error()}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1]) // "" leaves line 0: not known
		p.Msg = "not valid YAML: " + m[2]
	}
	// A secret that begins with * or & and was written without quotes.
	p.Msg = anchorName.ReplaceAllString(p.Msg, "anchor, whose name is not shown,")
	return p
}

var anchorName = regexp.MustCompile(`anchor '.*'`)

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
