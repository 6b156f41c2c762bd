//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// site is a Penstock and the sink that it exports to, each a process.
type site struct {
	dir, self   string
	admin, grpc string // addresses
	sink, up    *child
}

// build starts a site in a directory of its own below dir. more is added to its
// configuration. Whoever has it calls clear.
func build(ctx context.Context, dir, bin, durability, more string, set []string) (s *site, err error) {
	s = &site{}
	defer func() {
		if err != nil {
			s.clear()
		}
	}()
	if s.dir, err = os.MkdirTemp(dir, "penstock-bench-"); err != nil {
		return s, err
	}
	if s.self, err = os.Executable(); err != nil {
		return s, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return s, err
	}
	sinkAddr, stats := ports[0], ports[1]
	s.admin, s.grpc = ports[2], ports[3]
	if s.sink, err = start(s.dir, "sink", s.self, false, "sink", "-listen", sinkAddr, "-stats", stats, "-ids=false"); err != nil {
		return s, err
	}
	if err := s.sink.ready(ctx, "http://"+stats); err != nil {
		return s, err
	}
	config := filepath.Join(s.dir, "penstock.yaml")
	text := fmt.Sprintf("queue: {dir: %q, durability: %s, max_bytes: 8GiB}\nadmin: {listen: %q}\ngateway: {grpc: {listen: %q}, http: {listen: %q}}\ndestinations:\n  - {name: bench, protocol: grpc, endpoints: [%q], tls: {insecure: true}, compression: none}\n%s",
		filepath.Join(s.dir, "data"), durability, s.admin, s.grpc, ports[4], sinkAddr, more)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return s, err
	}
	args := []string{"up", "--config", config}
	for _, kv := range set {
		args = append(args, "--set", kv)
	}
	if s.up, err = start(s.dir, "up", bin, false, args...); err != nil {
		return s, err
	}
	if err := s.up.ready(ctx, "http://"+s.admin+"/readyz"); err != nil {
		return s, fmt.Errorf("%w\n%s", err, s.up.tail())
	}
	return s, nil
}

// stop ends both in order.
func (s *site) stop() error {
	return errors.Join(s.up.stop(60*time.Second), s.sink.stop(10*time.Second))
}

// clear ends what still runs and removes the directory.
func (s *site) clear() {
	for _, c := range []*child{s.up, s.sink} {
		if c != nil {
			c.kill()
		}
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}
