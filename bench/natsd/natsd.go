//go:build linux

// Package natsd runs real nats-server processes beside a measurement: one, or a
// cluster of three, with JetStream that syncs every write, on loopback, in
// directories of their own. They end with Stop, or with this process.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// module is what the server is built from, in the version of go.mod: the one
// that is embedded in Penstock.
const module = "github.com/nats-io/nats-server/v2"

// Build makes the server's binary in dir. It has to be called below the
// directory of Penstock's go.mod.
func Build(ctx context.Context, dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "nats-server"))
	if err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, module).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", module, err, out)
	}
	return path, nil
}

// Config is what to run.
type Config struct {
	Binary   string        // of nats-server, as Build gives it
	Dir      string        // the servers' directories are made in it; its disk is what they sync
	Servers  int           // 1 or 3
	Patience time.Duration // until all are ready; default 30 s
}

// Servers are running. URL stays the same for their life.
type Servers struct {
	URL   string // of all, with commas: a value for queue.url
	nodes []*node
}

// Start runs the servers and waits until JetStream is there, and in a cluster
// has a leader.
func Start(ctx context.Context, c Config) (s *Servers, err error) {
	if c.Servers != 1 && c.Servers != 3 {
		return nil, fmt.Errorf("%d nats-servers: want 1 or 3", c.Servers)
	}
	if c.Patience == 0 {
		c.Patience = 30 * time.Second
	}
	addrs, err := freeAddrs(3 * c.Servers)
	if err != nil {
		return nil, err
	}
	clients, monitors, routes := addrs[:c.Servers], addrs[c.Servers:2*c.Servers], addrs[2*c.Servers:]
	s = &Servers{URL: "nats://" + strings.Join(clients, ",nats://")}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
			s = nil
		}
	}()
	for i := range c.Servers {
		name := fmt.Sprintf("n%d", i+1)
		dir := filepath.Join(c.Dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return s, err
		}
		text := config(name, clients[i], monitors[i], filepath.Join(dir, "data"))
		if c.Servers > 1 {
			text += cluster(routes[i], routes)
		}
		n, err := run(c.Binary, name, dir, "http://"+monitors[i], text)
		if err != nil {
			return s, err
		}
		s.nodes = append(s.nodes, n)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	for _, n := range s.nodes {
		if err := n.ready(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

// config is a server's file. max_payload leaves room for what Penstock joins.
func config(name, client, monitor, store string) string {
	return fmt.Sprintf(`server_name: %s
listen: %q
http: %q
max_payload: 8MB
jetstream {
  store_dir: %q
  sync_interval: always
  max_file_store: 8GB
}
`, name, client, monitor, store)
}

func cluster(own string, routes []string) string {
	return fmt.Sprintf("cluster {\n  name: bench\n  listen: %q\n  routes: [\"nats-route://%s\"]\n}\n",
		own, strings.Join(routes, `", "nats-route://`))
}

// PIDs are the servers' processes, in the order of URL.
func (s *Servers) PIDs() []int {
	var out []int
	for _, n := range s.nodes {
		out = append(out, n.cmd.Process.Pid)
	}
	return out
}

// Monitors are the base URLs of the servers' monitoring, in the order of URL.
func (s *Servers) Monitors() []string {
	var out []string
	for _, n := range s.nodes {
		out = append(out, n.monitor)
	}
	return out
}

// Stop ends all servers and waits for them. Their files stay. It may be called
// again.
func (s *Servers) Stop() error {
	var all []error
	for _, n := range s.nodes {
		n.signal()
	}
	for _, n := range s.nodes {
		all = append(all, n.stop())
	}
	return errors.Join(all...)
}

// freeAddrs are loopback addresses that nobody listens on now.
func freeAddrs(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}
