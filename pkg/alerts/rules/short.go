package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// The kinds of data that a metric can have, as in the key type.
const (
	Gauge                = "gauge"
	UpDown               = "updown" // a sum that falls too
	Counter              = "counter"
	Histogram            = "histogram"
	ExponentialHistogram = "exponential_histogram"
)

// What becomes of an alert whose data is missing, as in the key on_absent.
const (
	AbsentOK   = "ok"   // it ends: what is not there is not wrong
	AbsentHold = "hold" // it stays as it was
	AbsentFire = "fire" // that nothing is there is itself the alert
)

// HoldAnnotation on a rule in Prometheus' form says what on_absent says in the
// short form; its values are ok and hold.
const HoldAnnotation = "penstock_on_absent"

// Names says how names of OTLP are written in Prometheus' form.
type Names interface {
	// Metric has the unit as OTLP writes it, and one of the kinds.
	Metric(name, unit, kind string) (string, error)
	Label(name string) (string, error)
}

// file is the short form.
type file struct {
	Name  string
	Rules []rule
}

// rule is one of the short form, as it is written.
type rule struct {
	line, index int

	Alert     string            `yaml:"alert"`
	Metric    string            `yaml:"metric"`
	Type      string            `yaml:"type"`
	Unit      *string           `yaml:"unit"`
	Where     map[string]values `yaml:"where"`
	WhereNot  map[string]values `yaml:"where_not"`
	Agg       string            `yaml:"agg"`
	GroupBy   *[]string         `yaml:"group_by"`
	Window    string            `yaml:"window"`
	Op        string            `yaml:"op"`
	Threshold string            `yaml:"threshold"`
	For       string            `yaml:"for"`
	Keep      string            `yaml:"keep_firing_for"`
	Every     string            `yaml:"every"`
	Severity  string            `yaml:"severity"`
	OnAbsent  string            `yaml:"on_absent"`
	Summary   string            `yaml:"summary"`
	Labels    map[string]string `yaml:"labels"`
	Notes     map[string]string `yaml:"annotations"`
}

// ruleKeys are those of rule, in the order of the documentation.
var ruleKeys = []string{"alert", "metric", "type", "unit", "where", "where_not", "agg", "group_by", "window", "op", "threshold",
	"for", "keep_firing_for", "every", "severity", "on_absent", "summary", "labels", "annotations"}

// values are one, or a list of which each will do.
type values []string

// UnmarshalYAML reads both.
func (v *values) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(v))
	}
	var one string
	if err := n.Decode(&one); err != nil {
		return err
	}
	*v = values{one}
	return nil
}

// IsShort tells whether text is a file of the short form: it has the key rules at
// its top, where Prometheus has groups.
func IsShort(text []byte) bool {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) == 0 {
		return false
	}
	return keyOf(doc.Content[0], "rules") != nil && keyOf(doc.Content[0], "groups") == nil
}

// keyOf is the value of a key of a mapping, nil without one.
func keyOf(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// reader collects problems.
type reader struct {
	file string
	bad  Problems
}

func (r *reader) problem(line int, format string, a ...any) {
	r.bad = append(r.bad, &Problem{File: r.file, Line: line, Text: fmt.Sprintf(format, a...)})
}

// read takes the text apart. What it returns is whole only without problems.
func (r *reader) read(text []byte) (f file) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		r.problem(0, "%v", err)
		return f
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		r.problem(more.Line, "has a second YAML document: put all rules into one")
	}
	top := doc.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		switch key.Value {
		case "name":
			if err := value.Decode(&f.Name); err != nil || f.Name == "" {
				r.problem(value.Line, "name has to be a text: it names the group of the rules")
			}
		case "rules":
			f.Rules = r.rules(value)
		default:
			r.problem(key.Line, "unknown key %q: a file of the short form has name and rules", key.Value)
		}
	}
	return f
}

func (r *reader) rules(list *yaml.Node) (all []rule) {
	if list.Kind != yaml.SequenceNode {
		r.problem(list.Line, "rules has to be a list")
		return nil
	}
	for i, n := range list.Content {
		one := rule{line: n.Line, index: i + 1}
		before := len(r.bad)
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n.Kind != yaml.MappingNode {
			r.problem(n.Line, "a rule has to be a mapping with alert, metric, op and threshold")
		} else {
			known := map[string]bool{}
			for _, k := range ruleKeys {
				known[k] = true
			}
			for k := 0; k < len(n.Content); k += 2 {
				if key := n.Content[k]; !known[key.Value] {
					r.problem(key.Line, "unknown key %q, want one of %s", key.Value, join(ruleKeys))
				}
			}
			if err := n.Decode(&one); err != nil {
				r.decoded(n.Line, err)
			}
		}
		for _, p := range r.bad[before:] {
			p.Rule, p.Index = one.Alert, one.index
		}
		all = append(all, one)
	}
	return all
}

// decoded tells the errors of yaml, which have their lines in the text.
func (r *reader) decoded(line int, err error) {
	var several *yaml.TypeError
	if !errors.As(err, &several) {
		r.problem(line, "%v", err)
		return
	}
	for _, text := range several.Errors {
		at, rest := line, text
		if n, err := fmt.Sscanf(text, "line %d: ", &at); n == 1 && err == nil {
			rest = text[len(fmt.Sprintf("line %d: ", at)):]
		}
		r.problem(at, "%s", rest)
	}
}
