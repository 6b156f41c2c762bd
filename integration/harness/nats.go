package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// NATS is a real nats-server with JetStream that syncs every write.
type NATS struct {
	*Process
	URL, MonitorURL string

	t      testing.TB
	config string
}

// NewNATS writes the configuration; the data survive Stop and Start.
func NewNATS(t testing.TB) *NATS {
	t.Helper()
	addr, monitor := FreeAddr(t), FreeAddr(t)
	n := &NATS{URL: "nats://" + addr, MonitorURL: "http://" + monitor, t: t, config: filepath.Join(t.TempDir(), "nats.conf")}
	config := fmt.Sprintf("server_name: one\nlisten: %q\nhttp: %q\nmax_payload: 8MB\njetstream {\n  store_dir: %q\n  sync_interval: always\n  max_file_store: 8GB\n}\n",
		addr, monitor, t.TempDir())
	if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// Start runs the server and waits until JetStream is there.
func (n *NATS) Start() {
	n.t.Helper()
	n.Process = Start(n.t, "nats-server", Binary(n.t, NATSServer), "-c", n.config)
	n.Ready(n.MonitorURL+"/healthz", startPatience)
}

// Cluster is three nats-server processes. The last one stands on an isle, if the
// cluster has one.
type Cluster struct {
	URL         string // of all, comma separated
	MonitorURLs []string
	Nodes       []*Node
}

// Node is one server of a cluster. Its data survive Kill and Start.
type Node struct {
	*Process // nil before the first Start

	Name, URL, MonitorURL string

	t      testing.TB
	isle   *Isle // nil: on this side
	config string
}

// NewCluster starts three servers that sync every write. isle may be nil.
func NewCluster(t testing.TB, isle *Isle) *Cluster {
	t.Helper()
	c := &Cluster{}
	var routes, urls []string
	hosts := make([]string, 3)
	for i := range hosts {
		switch hosts[i] = "127.0.0.1"; {
		case isle != nil && i == 2:
			hosts[i] = isle.Addr
		case isle != nil:
			hosts[i] = isle.Shore
		}
		routes = append(routes, "nats://"+on(t, hosts[i]))
	}
	for i, host := range hosts {
		listen, monitor, store := on(t, host), on(t, host), t.TempDir()
		n := &Node{Name: fmt.Sprintf("n%d", i+1), URL: "nats://" + listen, MonitorURL: "http://" + monitor, t: t, config: filepath.Join(t.TempDir(), "nats.conf")}
		if host != "127.0.0.1" && host == hosts[2] {
			n.isle = isle
		}
		config := fmt.Sprintf("server_name: %s\nlisten: %q\nhttp: %q\nmax_payload: 8MB\njetstream {\n  store_dir: %q\n  sync_interval: always\n  max_file_store: 8GB\n}\n"+
			"cluster {\n  name: penstock\n  listen: %q\n  routes: [%s]\n}\n", n.Name, listen, monitor, store, routes[i][len("nats://"):], quoted(routes))
		if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Nodes = append(c.Nodes, n)
		c.MonitorURLs = append(c.MonitorURLs, n.MonitorURL)
		urls = append(urls, n.URL)
		n.StartUnready()
	}
	c.URL = strings.Join(urls, ",")
	for _, n := range c.Nodes {
		n.Ready(n.MonitorURL+"/healthz", startPatience)
	}
	return c
}

// on is a free address of the host, the port of which is free on this side.
func on(t testing.TB, host string) string {
	t.Helper()
	_, port, _ := strings.Cut(FreeAddr(t), ":")
	return host + ":" + port
}

// StartUnready runs the server without waiting.
func (n *Node) StartUnready() {
	n.t.Helper()
	if n.isle != nil {
		n.Process = n.isle.Start(n.Name, Binary(n.t, NATSServer), "-c", n.config)
		return
	}
	n.Process = Start(n.t, n.Name, Binary(n.t, NATSServer), "-c", n.config)
}

// Start runs the server and waits until JetStream is there.
func (n *Node) Start() {
	n.t.Helper()
	n.StartUnready()
	n.Ready(n.MonitorURL+"/healthz", startPatience)
}
