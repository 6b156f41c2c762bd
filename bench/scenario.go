//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/penstock-otel/penstock/bench/load"
)

// scenario is one kind of measurement.
type scenario struct {
	letter, name, meaning string
	load                  load.Options
	// ids: arrival is proven by the identity of each item, which for metric points
	// would change their shape.
	ids     bool
	set     []string // of Penstock, before that of the command
	targets []target
	measure func(ctx context.Context, o options, s scenario, errs io.Writer) (outcome, error)
}

// outcome is what a scenario found.
type outcome struct {
	Results []Result
	Ratios  []Ratio
	Targets []Verdict
	Backlog *Backlog
}

func kind(signal string, items, connections, clients int) load.Options {
	l := load.Default()
	l.Signal, l.Items, l.Connections, l.Clients = signal, items, connections, clients
	return l
}

func compressed(l load.Options, by string) load.Options {
	l.Compression = by
	return l
}

// ofClients has more in flight: what a group waits for is far away.
func ofClients(l load.Options, clients int) load.Options {
	l.Clients = clients
	return l
}

func ofTenants(l load.Options, n int) load.Options {
	l.Tenants, l.Tenant = n, "shop"
	return l
}

var (
	traces100   = kind("traces", 100, 4, 96)
	metrics1000 = kind("metrics", 1000, 4, 48)
	logs512     = kind("logs", 512, 4, 48)
	small10     = kind("traces", 10, 1000, 1000)
)

// Memory of all roles in one process, of (a) to (d).
var allRoles = memory(120)

var scenarios = []scenario{
	{letter: "a", name: "traces100", meaning: "100 spans of 440 B a request", load: traces100, ids: true, measure: plain,
		targets: []target{delivered(330_000), cpu(3.0), allRoles, stored(25)}},
	{letter: "b", name: "metrics1000", meaning: "1,000 metric points of 105 B a request", load: metrics1000, measure: plain,
		targets: []target{delivered(1_500_000), cpu(0.7), allRoles}},
	{letter: "c", name: "logs512", meaning: "512 log records of 300 B a request", load: logs512, ids: true, measure: plain,
		targets: []target{delivered(700_000).orElse(cpu(1.5)), allRoles}},
	{letter: "d", name: "small10", meaning: "10 spans a request from 1,000 connections, and what 1,000 idle ones cost", load: small10, ids: true, measure: small,
		targets: []target{delivered(150_000), allRoles}},
	{letter: "e", name: "seed", meaning: "batches of 100 to 5,000 from 10 to 500 clients, one web request or a trace over three services an operation", load: traces100, ids: true, measure: seed},
	{letter: "f", name: "half", meaning: "(a) on a schedule at half of its maximum, strict and process, beside the disk's own fsync", load: traces100, ids: true, measure: half},
	{letter: "g", name: "backlog", meaning: "a worker that starts before a full queue", load: traces100, measure: backlogScenario},
	{letter: "h", name: "gzip", meaning: "(a) from clients that compress by gzip", load: compressed(traces100, "gzip"), ids: true, measure: plain},
	{letter: "h", name: "zstd", meaning: "(a) from clients that compress by zstd", load: compressed(traces100, "zstd"), ids: true, measure: plain},
	{letter: "i", name: "tenants", meaning: "(a) from clients of 8 tenants", load: ofTenants(traces100, 8), ids: true, measure: plain},
	{letter: "j", name: "profile", meaning: "(a) strict and process in turns: the price of fsync on each commit", load: traces100, ids: true, measure: profile},
	{letter: "k", name: "shards", meaning: "(a) with 1 and 4 shards in turns", load: traces100, ids: true, measure: shards},
	{letter: "l", name: "external1", meaning: "(a) from 256 clients with the queue in one nats-server that syncs each write", load: ofClients(traces100, 256), ids: true, measure: external(1)},
	{letter: "l", name: "external3", meaning: "(a) from 256 clients with the queue in a cluster of three nats-servers that sync each write, three copies", load: ofClients(traces100, 256), ids: true, measure: external(3),
		targets: []target{delivered(200_000), cpu(3.0)}},
	{letter: "m", name: "gateway", meaning: "(a) of a gateway alone on one core, generator and sink on another", load: traces100, ids: true, measure: gatewayAlone,
		targets: []target{accepted(400_000), memory(64)}},
	{letter: "n", name: "http", meaning: "(a) over HTTP, a connection for each client", load: overHTTP(traces100), ids: true, measure: plain},
	{letter: "o", name: "stored", meaning: "(a) with groups stored by zstd", load: traces100, ids: true, measure: plain,
		set: []string{"gateway.compression.codec=zstd"}, targets: []target{stored(19)}},
}

// former names of scenarios.
var former = map[string]string{"traces": "traces100", "metrics": "metrics1000", "logs": "logs512"}

func overHTTP(l load.Options) load.Options {
	l.Transport = "http"
	return l
}

// pickScenarios takes names or letters; of a letter all scenarios.
func pickScenarios(o options) (out []scenario, err error) {
	for _, name := range strings.Split(o.scenarios, ",") {
		name = strings.TrimSpace(name)
		if now := former[name]; now != "" {
			name = now
		}
		found := false
		for _, s := range scenarios {
			if s.name != name && s.letter != name {
				continue
			}
			found = true
			if o.connections > 0 {
				s.load.Connections = o.connections
			}
			if o.clients > 0 {
				s.load.Clients = o.clients
			}
			out = append(out, s)
		}
		if !found {
			var known []string
			for _, s := range scenarios {
				known = append(known, s.name)
			}
			return nil, fmt.Errorf("unknown scenario %q: want some of %s", name, strings.Join(slices.Compact(known), ", "))
		}
	}
	return out, nil
}

func runList(_ context.Context, args []string, out, _ io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tscenario\tmeaning\ttargets")
	for _, s := range scenarios {
		var want []string
		for _, x := range s.targets {
			bound := "≤"
			if x.atLeast {
				bound = "≥"
			}
			want = append(want, fmt.Sprintf("%s %s %s %s", x.what, bound, figure(x.want), x.unit))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.letter, s.name, s.meaning, strings.Join(want, ", "))
	}
	return t.Flush()
}
