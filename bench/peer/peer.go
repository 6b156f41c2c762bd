// Package peer has the other gateways that Penstock is measured beside: how each
// is started so that it takes the same requests and gives them to the same sink,
// what its answer to a client is worth, and what was tuned for it.
//
// A peer is given what its users would set to make it fast, as long as an
// acknowledged request is still in its queue on disk. What was tried is a peer of
// its own, so that everybody can see whether the best was taken.
package peer

import (
	"fmt"
	"os"
	"path/filepath"
)

// Peer is a gateway with its settings.
type Peer struct {
	Name    string // one word, for flags and tables
	Product string
	Promise string // what an acknowledgement to a client means
	Tuned   string // what is set other than by default

	binary string
	args   []string
	env    []string // beside that of this process
	config func(Place) string
}

// Place is where one process of a peer works. All addresses are host:port.
type Place struct {
	Dir    string // for its configuration and its data; it exists and is empty
	GRPC   string // to listen on for OTLP/gRPC
	Health string // to listen on for the question whether it is ready
	Sink   string // OTLP/gRPC without TLS, to export to
}

// Command is a process to start.
type Command struct {
	Argv   []string
	Env    []string // to be added to that of this process
	Config string   // the text of its configuration, for the result
	Ready  string   // URL that answers 200 when it takes requests
}

// Command writes the peer's configuration into the place.
func (p Peer) Command(at Place) (Command, error) {
	c := Command{Env: p.env, Config: p.config(at), Ready: "http://" + at.Health + "/"}
	data := filepath.Join(at.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return Command{}, fmt.Errorf("place of %s: %w", p.Name, err)
	}
	file := filepath.Join(at.Dir, p.Name+".yaml")
	if err := os.WriteFile(file, []byte(c.Config), 0o600); err != nil {
		return Command{}, fmt.Errorf("configuration of %s: %w", p.Name, err)
	}
	c.Argv = append([]string{p.binary, "--config", "file:" + file}, p.args...)
	return c, nil
}

// Find is the peer of a name.
func Find(peers []Peer, name string) (Peer, error) {
	var known []string
	for _, p := range peers {
		if p.Name == name {
			return p, nil
		}
		known = append(known, p.Name)
	}
	return Peer{}, fmt.Errorf("unknown peer %q: want one of %q", name, known)
}

// NotHere are the gateways that belong beside Penstock and could not be had for
// this benchmark, with the reason.
var NotHere = []struct{ Name, Why string }{
	{"OTel Arrow (otap-dataflow)", "no packaged release for Go, Debian or npm; its durable buffer syncs every 25 ms, not before the answer"},
	{"Vector", "not in Debian; its OTLP sink is HTTP alone, and its disk buffer syncs every 500 ms, not before the answer"},
	{"Rotel", "no packaged release for Go, Debian or npm"},
	{"Fluent Bit", "not in Debian; its OTLP output is HTTP alone"},
	{"vmagent", "takes OTLP metrics alone and does not send OTLP"},
	{"Grafana Alloy", "its Go module builds only with replacements of its own; its OTLP path and queue are those of the Collector"},
}
