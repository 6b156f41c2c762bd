//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
)

// Idle is what connections cost on which nothing is sent.
type Idle struct {
	Connections int   `json:"connections"`
	Before      int64 `json:"rss_before_bytes"`
	After       int64 `json:"rss_after_bytes"`
}

// idleConnections of the target, and how long they are watched.
const idleConnections = 1000

var idleWatch = 3 * time.Second

// small is a window of many connections, after the cost of idle ones.
func small(ctx context.Context, o options, s scenario, errs io.Writer) (out outcome, err error) {
	fmt.Fprintf(errs, "%s: %d idle connections, then %d items a request from %d connections\n", s.name, idleConnections, s.load.Items, s.load.Connections)
	at, err := s.up(ctx, o)
	if err != nil {
		return out, err
	}
	defer at.clear()
	idle, err := at.idle(ctx, idleConnections)
	if err != nil {
		return out, err
	}
	r, err := at.window(ctx, s.load, o.warmup, o.duration)
	if err != nil {
		return out, err
	}
	if err := at.settle(ctx, &r); err != nil {
		return out, err
	}
	r.Scenario, r.Letter, r.Idle = s.name, s.letter, &idle
	added := target{what: fmt.Sprintf("%d idle connections add", idle.Connections), unit: "MB", want: 60,
		got: func(Result) float64 { return float64(idle.After-idle.Before) / megabyte }}
	out = outcome{Results: []Result{r}, Targets: append(s.verdicts(r), added.judge(r))}
	return out, at.stop()
}

// idle opens connections and nothing else, and reads the memory before and while
// they are there: the most of some seconds.
func (s *site) idle(ctx context.Context, n int) (i Idle, err error) {
	l := small10
	l.Clients, l.Connections, l.Idle = 0, 1, n
	m := s.meters[s.measured()]
	before, err := m.read()
	if err != nil {
		return i, err
	}
	i.Connections, i.Before = n, before.RSS
	gen, err := s.generate(l)
	if err != nil {
		return i, err
	}
	defer func() {
		if _, ended := s.finish(gen); err == nil {
			err = ended
		}
	}()
	if err := gen.says(load.Connected); err != nil {
		return i, fmt.Errorf("is the limit of open files (ulimit -n) above %d? %w", n, err)
	}
	for stood := time.Now(); time.Since(stood) < idleWatch; {
		u, err := m.read()
		if err != nil {
			return i, err
		}
		i.After = max(i.After, u.RSS)
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return i, err
		}
	}
	return i, nil
}
