package alerter

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// LoadRules reads the rule files of a configuration: paths with wildcards, and
// predefined:NAME. Every problem of every file is in the error. A path without any
// file is one.
func LoadRules(patterns []string) (files []*promrules.File, err error) {
	seen := map[string]bool{}
	for _, pattern := range patterns {
		if set, ok := strings.CutPrefix(pattern, "predefined:"); ok {
			f, bad := predefined(set)
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

func predefined(name string) (*promrules.File, error) {
	sets := rules.Predefined()
	i := slices.IndexFunc(sets, func(s rules.Set) bool { return s.Name == name })
	if i < 0 {
		var names []string
		for _, s := range sets {
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("there are no predefined rules %q, want one of %s", name, strings.Join(names, ", "))
	}
	return promrules.Parse(sets[i].File(), sets[i].Text)
}
