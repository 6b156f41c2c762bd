//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
)

// The cores of the scenario: what is measured on the one, generator and sink on
// the other.
const (
	gatewayCore = "0"
	otherCore   = "1"
)

// gatewayOnly starts a gateway with the embedded queue and no worker.
func gatewayOnly(cores string) start {
	return func(ctx context.Context, s *site) error {
		ports, err := freePorts(2)
		if err != nil {
			return err
		}
		s.queue = fmt.Sprintf("url: %q, monitor_urls: [%q]", "nats://"+ports[0], "http://"+ports[1])
		queue := fmt.Sprintf("dir: %q, max_bytes: 24GiB, listen: %q, monitor_listen: %q", filepath.Join(s.dir, "data"), ports[0], ports[1])
		if s.up, err = s.role(ctx, "gateway", cores, s.admin, queue, s.gateway()+s.destination()); err != nil {
			return err
		}
		s.meters["penstock"] = newMeter(s.countSyncs, s.up.pid())
		return nil
	}
}

// worker starts a worker beside a gateway that stands alone, and does not wait
// for it. It has to be stopped before the site.
func (s *site) worker() (*child, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	return s.spawnRole("worker", "", ports[0], s.queue, s.destination())
}

// gatewayAlone measures a gateway with the embedded queue and no worker, on a core
// of its own. A worker then proves what the gateway acknowledged.
func gatewayAlone(ctx context.Context, o options, s scenario, errs io.Writer) (out outcome, err error) {
	if runtime.NumCPU() < 2 {
		return out, errors.New("it takes two cores: one for the gateway, one for what is around it")
	}
	fmt.Fprintf(errs, "%s: one core, %s warm-up, %s window\n", s.name, o.warmup, o.duration)
	at, err := build(ctx, s.settings(o), s.ids, o.syncs, otherCore, gatewayOnly(gatewayCore))
	if err != nil {
		return out, err
	}
	defer at.clear()
	r, err := at.window(ctx, s.load, o.warmup, o.duration)
	if err != nil {
		return out, err
	}
	if r.Delivered > 0 {
		return out, fmt.Errorf("%.0f items/s arrived while no worker ran", r.Delivered)
	}
	peak := r.PeakRSS // of the window: beside a worker it does more
	worker, err := at.worker()
	if err != nil {
		return out, err
	}
	defer worker.kill()
	if err := at.settle(ctx, &r); err != nil {
		return out, err
	}
	r.Scenario, r.Letter, r.PeakRSS = s.name, s.letter, peak
	out = outcome{Results: []Result{r}, Targets: s.verdicts(r)}
	return out, errors.Join(worker.stop(stopPatience), at.stop())
}
