package promrules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// testFile is a file of unit tests in the form of promtool of the Prometheus that
// is linked.
type testFile struct {
	RuleFiles    []string       `yaml:"rule_files"`
	Interval     model.Duration `yaml:"evaluation_interval"`
	GroupOrder   []string       `yaml:"group_eval_order"`
	Tests        []testGroup    `yaml:"tests"`
	FuzzyCompare bool           `yaml:"fuzzy_compare"`
}

// testGroup is one test: series of its own, and what is to come of them.
type testGroup struct {
	Name           string            `yaml:"name"`
	Interval       model.Duration    `yaml:"interval"`
	Series         []testSeries      `yaml:"input_series"`
	Alerts         []alertTest       `yaml:"alert_rule_test"`
	Exprs          []exprTest        `yaml:"promql_expr_test"`
	ExternalLabels map[string]string `yaml:"external_labels"`
	ExternalURL    string            `yaml:"external_url"`
	Start          testStart         `yaml:"start_timestamp"`
}

type testSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type alertTest struct {
	At     model.Duration  `yaml:"eval_time"`
	Name   string          `yaml:"alertname"`
	Alerts []expectedAlert `yaml:"exp_alerts"`
}

type expectedAlert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

type exprTest struct {
	Expr    string           `yaml:"expr"`
	At      model.Duration   `yaml:"eval_time"`
	Samples []expectedSample `yaml:"exp_samples"`
}

type expectedSample struct {
	Labels    string  `yaml:"labels"`
	Value     float64 `yaml:"value"`
	Histogram string  `yaml:"histogram"`
}

// testStart is when a test begins, the zero of Unix time unless it says so.
type testStart struct{ time.Time }

// UnmarshalYAML reads seconds since the zero of Unix time, or RFC 3339.
func (s *testStart) UnmarshalYAML(n *yaml.Node) error {
	if sec, err := strconv.ParseFloat(n.Value, 64); err == nil {
		whole, part := math.Modf(sec)
		s.Time = time.Unix(int64(whole), int64(part*float64(time.Second))).UTC()
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, n.Value)
	if err != nil {
		return fmt.Errorf("line %d: start_timestamp %q is neither seconds since 1970 nor a time such as 2026-03-01T12:00:00Z", n.Line, n.Value)
	}
	s.Time = at
	return nil
}

// readTests reads a file, and finds its rule files. warnings are patterns that no
// file fits.
func readTests(name string) (f testFile, warnings []string, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return f, nil, fmt.Errorf("unit tests of rules: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return f, nil, fmt.Errorf("%s: %w", name, err)
	}
	if f.Interval == 0 {
		f.Interval = model.Duration(time.Minute)
	}
	seen := map[string]bool{}
	for _, g := range f.GroupOrder {
		if seen[g] {
			return f, nil, fmt.Errorf("%s: group_eval_order has group %q twice", name, g)
		}
		seen[g] = true
	}
	var found []string
	for _, pattern := range f.RuleFiles {
		if pattern != "" && !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(name), pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return f, nil, fmt.Errorf("%s: rule_files: %q: %w", name, pattern, err)
		}
		if len(files) == 0 {
			warnings = append(warnings, fmt.Sprintf("rule_files: no file fits %s", pattern))
		}
		for _, file := range files {
			if !slices.Contains(found, file) {
				found = append(found, file)
			}
		}
	}
	f.RuleFiles = found
	for i, t := range f.Tests {
		if t.Name == "" {
			f.Tests[i].Name = fmt.Sprintf("unnamed#%d", i)
		}
		if t.Interval == 0 {
			f.Tests[i].Interval = f.Interval
		}
	}
	return f, warnings, nil
}
