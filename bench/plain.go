//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
)

// up builds a site of this scenario with all roles in one process. more is
// further settings.
func (s scenario) up(ctx context.Context, o options, more ...string) (*site, error) {
	return build(ctx, s.settings(o, more...), s.ids, o.syncs, "", penstock("", ""))
}

// settings are those of the command after those of the scenario, so that the
// command has the last word.
func (s scenario) settings(o options, more ...string) common {
	c := o.common
	c.set = append(append(append(list{}, s.set...), more...), o.set...)
	return c
}

// once is one site, one window, and the proof.
func (s scenario) once(ctx context.Context, o options, build func() (*site, error)) (r Result, err error) {
	at, err := build()
	if err != nil {
		return r, err
	}
	defer at.clear()
	if r, err = at.window(ctx, s.load, o.warmup, o.duration); err != nil {
		return r, err
	}
	if err := at.settle(ctx, &r); err != nil {
		return r, err
	}
	r.Scenario, r.Letter = s.name, s.letter
	return r, at.stop()
}

// plain is a scenario of one window.
func plain(ctx context.Context, o options, s scenario, errs io.Writer) (outcome, error) {
	fmt.Fprintf(errs, "%s: %d items a request, %d in flight on %d connections, %s warm-up, %s window\n",
		s.name, s.load.Items, s.load.Clients, s.load.Connections, o.warmup, o.duration)
	r, err := s.once(ctx, o, func() (*site, error) { return s.up(ctx, o) })
	return outcome{Results: []Result{r}, Targets: s.verdicts(r)}, err
}
