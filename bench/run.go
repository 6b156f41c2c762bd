//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// runScenarios measures one scenario after the other. What was found before an
// error is told and written too.
func runScenarios(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parseOptions("run", args, errs)
	if err != nil {
		return err
	}
	chosen, err := pickScenarios(o)
	if err != nil {
		return err
	}
	cleanup, err := o.prepare(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	r := newReport(append([]string{"run"}, args...), o.common)
	var failed error
	for _, s := range chosen {
		found, err := s.measure(ctx, o, s, errs)
		if err != nil {
			failed = fmt.Errorf("scenario %s: %w", s.name, err)
			break
		}
		r.add(found)
	}
	r.table(out)
	return errors.Join(failed, r.save(o.results, errs))
}

// tempDir is a directory until cleanup.
func tempDir(pattern string) (dir string, cleanup func(), err error) {
	if dir, err = os.MkdirTemp("", pattern); err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}
