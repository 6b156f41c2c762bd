//go:build linux

package main

import (
	"fmt"
	"strings"
)

// scenario is one kind of load.
type scenario struct {
	Name        string `json:"name"`
	Signal      string `json:"signal"`
	Items       int    `json:"items_per_request"`
	Connections int    `json:"connections"`
	Clients     int    `json:"requests_in_flight"`
	// IDs: arrival is proven by the identity of each item, which for metric
	// points would change their shape.
	IDs bool `json:"proven_by_identity"`
}

var scenarios = []scenario{
	{Name: "traces", Signal: "traces", Items: 100, Connections: 4, Clients: 96, IDs: true},
	{Name: "metrics", Signal: "metrics", Items: 1000, Connections: 4, Clients: 48},
	{Name: "logs", Signal: "logs", Items: 512, Connections: 4, Clients: 48, IDs: true},
}

func pickScenarios(o options) ([]scenario, error) {
	var out []scenario
next:
	for _, name := range strings.Split(o.scenarios, ",") {
		for _, s := range scenarios {
			if s.Name != strings.TrimSpace(name) {
				continue
			}
			if o.connections > 0 {
				s.Connections = o.connections
			}
			if o.clients > 0 {
				s.Clients = o.clients
			}
			out = append(out, s)
			continue next
		}
		var known []string
		for _, s := range scenarios {
			known = append(known, s.Name)
		}
		return nil, fmt.Errorf("unknown scenario %q: want some of %s", name, strings.Join(known, ", "))
	}
	return out, nil
}
