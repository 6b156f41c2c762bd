package alerter

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// LoadRules reads the rule files of a configuration: paths with wildcards, and
// predefined:NAME. Every problem of every file is in the error. A path without any
// file is one.
func LoadRules(patterns []string) (files []*promrules.File, err error) {
	seen := map[string]bool{}
	for _, pattern := range patterns {
		if set, ok, bad := rules.Find(pattern); ok {
			var f *promrules.File
			if bad == nil {
				f, bad = promrules.Parse(set.File(), set.Text)
			}
			err, files = errors.Join(err, bad), appendFile(files, f, seen)
			continue
		}
		names, bad := filepath.Glob(pattern)
		if bad == nil && len(names) == 0 {
			bad = errors.New("there is no such file")
		}
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("rules %q: %w", pattern, bad))
		}
		for _, name := range names {
			f, bad := promrules.ParseFile(name)
			err, files = errors.Join(err, bad), appendFile(files, f, seen)
		}
	}
	if err != nil {
		return nil, err
	}
	return files, nil
}

// appendFile leaves out what two patterns name.
func appendFile(files []*promrules.File, f *promrules.File, seen map[string]bool) []*promrules.File {
	if f == nil || seen[f.Name()] {
		return files
	}
	seen[f.Name()] = true
	return append(files, f)
}
