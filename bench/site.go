//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
	"github.com/penstock-otel/penstock/bench/sink"
)

// site is what is measured, and the sink that it exports to: each process of its
// own, in a directory that goes with them. It knows what was acknowledged, over
// all loads, and with that whether all arrived.
type site struct {
	common
	dir, self       string
	sinkAddr, stats string // of the sink: OTLP/gRPC, counters
	grpc, http      string // where clients send to
	admin           string // of Penstock; empty for a peer
	queue           string // its listener and monitor, of a gateway alone
	ids, countSyncs bool
	pinned          string // cores of generator and sink, as taskset takes them; empty: all
	sink, up        *child // up is what clients speak to
	meters          map[string]*meter
	acked, failed   uint64
	next            int    // source of the next generator's first client
	config          string // of what is measured
	stopOthers      []func() error
}

// stopPatience is for a process that has something to finish.
const stopPatience = 60 * time.Second

// start is how what is measured is started, once the sink is there.
type start func(ctx context.Context, s *site) error

// build starts a site in a directory of its own. Whoever has it calls clear.
func build(ctx context.Context, c common, ids, countSyncs bool, pinned string, up start) (s *site, err error) {
	s = &site{common: c, ids: ids, countSyncs: countSyncs, pinned: pinned, meters: map[string]*meter{}, next: 1}
	defer func() {
		if err != nil {
			s.clear()
		}
	}()
	if s.dir, err = os.MkdirTemp(c.dir, "penstock-bench-"); err != nil {
		return s, err
	}
	if s.self, err = os.Executable(); err != nil {
		return s, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return s, err
	}
	s.sinkAddr, s.stats, s.admin, s.grpc, s.http = ports[0], ports[1], ports[2], ports[3], ports[4]
	argv := s.onCores(pinned, s.self, "sink", "-listen", s.sinkAddr, "-stats", s.stats, "-ids="+strconv.FormatBool(ids))
	if s.sink, err = spawn(s.dir, "sink", false, nil, argv...); err != nil {
		return s, err
	}
	if err := s.sink.ready(ctx, "http://"+s.stats); err != nil {
		return s, err
	}
	s.meters["sink"] = newMeter(countSyncs, s.sink.pid())
	if err := up(ctx, s); err != nil {
		return s, err
	}
	return s, nil
}

// onCores is a command that runs on these cores alone; on all when none are named.
func (s *site) onCores(cores string, argv ...string) []string {
	if cores == "" {
		return argv
	}
	return append([]string{"taskset", "-c", cores}, argv...) // taskset becomes it
}

// penstock starts the roles of "up" in one process. more is added to its
// configuration; queue, when not empty, takes the place of the embedded queue.
func penstock(more, queue string) start {
	return func(ctx context.Context, s *site) (err error) {
		if queue == "" {
			queue = fmt.Sprintf("dir: %q, max_bytes: 8GiB", filepath.Join(s.dir, "data"))
		}
		s.up, err = s.role(ctx, "up", "", s.admin, queue, s.gateway()+s.destination()+more)
		if err == nil {
			s.meters["penstock"] = newMeter(s.countSyncs, s.up.pid())
		}
		return err
	}
}

func (s *site) gateway() string {
	return fmt.Sprintf("gateway: {grpc: {listen: %q}, http: {listen: %q}}\n", s.grpc, s.http)
}

func (s *site) destination() string {
	return fmt.Sprintf("destinations:\n  - {name: bench, protocol: grpc, endpoints: [%q], tls: {insecure: true}, compression: none}\n", s.sinkAddr)
}

// role starts a Penstock process, with cores on these alone, and waits until it
// is ready.
func (s *site) role(ctx context.Context, name, cores, admin, queue, more string) (*child, error) {
	c, err := s.spawnRole(name, cores, admin, queue, more)
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx, "http://"+admin+"/readyz"); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

func (s *site) spawnRole(name, cores, admin, queue, more string) (*child, error) {
	s.config = fmt.Sprintf("queue: {%s, durability: %s}\nadmin: {listen: %q}\n%s", queue, s.durability, admin, more)
	file := filepath.Join(s.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		return nil, err
	}
	argv := []string{s.bin, name, "--config", file}
	for _, kv := range s.set {
		argv = append(argv, "--set", kv)
	}
	return spawn(s.dir, name, false, nil, s.onCores(cores, argv...)...)
}

// generate starts a generator with sources of its own.
func (s *site) generate(l load.Options) (*child, error) {
	l.Target = s.grpc
	if l.Transport == "http" {
		l.Target = s.http
	}
	l.Seed, l.Source = s.seed, s.next
	s.next += max(1, l.Clients)
	return spawn(s.dir, "generate", true, nil, s.onCores(s.pinned, append([]string{s.self, "generate"}, l.Args()...)...)...)
}

// finish ends a generator and takes what it got acknowledged.
func (s *site) finish(gen *child) (load.Result, error) {
	r, err := finish(gen)
	s.acked += r.AckedItems
	s.failed += r.Failed
	return r, err
}

// drained waits until everything acknowledged arrived. By identity, an item that
// came twice counts once; by number, more than was acknowledged may arrive only
// when requests failed, for their outcome is not known.
func (s *site) drained(ctx context.Context) (got sink.Stats, err error) {
	got, err = drained(ctx, s.stats, s.acked, s.failed, s.ids)
	if err != nil {
		return got, fmt.Errorf("%w\n%s", err, s.up.tail())
	}
	return got, nil
}

func drained(ctx context.Context, stats string, acked, failed uint64, ids bool) (sink.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		s, err := sink.Read(ctx, stats)
		if err != nil {
			return s, err
		}
		got := s.Items
		if ids {
			got = s.Distinct
		}
		if got >= acked {
			if !ids && got > acked && failed == 0 {
				return s, fmt.Errorf("sink has %d items of %d acknowledged and no request failed: duplicates would hide a loss, measure again", got, acked)
			}
			return s, nil
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return s, fmt.Errorf("sink has %d of %d acknowledged items and no more came: %w", got, acked, err)
		}
	}
}

// stop ends all in order.
func (s *site) stop() error {
	all := []error{s.up.stop(stopPatience)}
	for _, stop := range s.stopOthers {
		all = append(all, stop())
	}
	return errors.Join(append(all, s.sink.stop(10*time.Second))...)
}

// clear ends what still runs and removes the directory.
func (s *site) clear() {
	for _, m := range s.meters {
		m.close()
	}
	for _, c := range []*child{s.up, s.sink} {
		if c != nil {
			c.kill()
		}
	}
	for _, stop := range s.stopOthers {
		stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}
