//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/penstock-otel/penstock/bench/natsd"
)

// external measures with the queue in nats-servers of their own, which keep as
// many copies as they are.
func external(servers int) func(context.Context, options, scenario, io.Writer) (outcome, error) {
	return func(ctx context.Context, o options, s scenario, errs io.Writer) (outcome, error) {
		bin, cleanup, err := natsBinary(ctx)
		if err != nil {
			return outcome{}, err
		}
		defer cleanup()
		fmt.Fprintf(errs, "%s: %d nats-servers, %s warm-up, %s window\n", s.name, servers, o.warmup, o.duration)
		r, err := s.once(ctx, o, func() (*site, error) {
			return build(ctx, s.settings(o), s.ids, o.syncs, "", func(ctx context.Context, at *site) error {
				return at.external(ctx, bin, servers)
			})
		})
		r.Variant = fmt.Sprintf("R%d", servers)
		return outcome{Results: []Result{r}, Targets: s.verdicts(r)}, err
	}
}

// external starts servers and a Penstock that uses them.
func (s *site) external(ctx context.Context, bin string, servers int) error {
	n, err := natsd.Start(ctx, natsd.Config{Binary: bin, Dir: s.dir, Servers: servers})
	if err != nil {
		return err
	}
	s.stopOthers = append(s.stopOthers, n.Stop)
	s.meters["nats"] = newMeter(s.countSyncs, n.PIDs()...)
	queue := fmt.Sprintf(`url: %q, monitor_urls: ["%s"], replicas: %d, max_bytes: 6GiB`, n.URL, strings.Join(n.Monitors(), `", "`), servers)
	return penstock("", queue)(ctx, s)
}

// natsBinary builds the server.
func natsBinary(ctx context.Context) (path string, cleanup func(), err error) {
	dir, cleanup, err := tempDir("penstock-bench-nats")
	if err != nil {
		return "", nil, err
	}
	if path, err = natsd.Build(ctx, filepath.Clean(dir)); err != nil {
		cleanup()
	}
	return path, cleanup, err
}
