package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Patience with a process that starts, and with one that stops.
const (
	startPatience = 30 * time.Second
	stopPatience  = 30 * time.Second
)

// Role is one of Penstock's processes together with its configuration: it can
// be started, killed and started again as the same one.
type Role struct {
	*Process // nil before the first Start

	GRPCAddr, HTTPAddr, AdminAddr string

	t    testing.TB
	name string
	pkg  string
	args []string
}

// Queue is the queue section of a configuration.
type Queue struct {
	URL, Dir, Listen, Durability, MaxBytes string

	MonitorListen string   // of the embedded server
	MonitorURL    string   // of the external one, to verify what it does
	MonitorURLs   []string // the same of a cluster
	Replicas      int      // of each stream on a cluster
}

func (q Queue) yaml() string {
	out := "queue:\n"
	for _, kv := range [][2]string{{"url", q.URL}, {"dir", q.Dir}, {"listen", q.Listen}, {"durability", q.Durability},
		{"max_bytes", q.MaxBytes}, {"monitor_listen", q.MonitorListen}} {
		if kv[1] != "" {
			out += fmt.Sprintf("  %s: %q\n", kv[0], kv[1])
		}
	}
	monitors := q.MonitorURLs
	if q.MonitorURL != "" {
		monitors = append(monitors, q.MonitorURL)
	}
	if len(monitors) > 0 {
		out += fmt.Sprintf("  monitor_urls: [%s]\n", quoted(monitors))
	}
	if q.Replicas > 0 {
		out += fmt.Sprintf("  replicas: %d\n", q.Replicas)
	}
	return out
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, ", ")
}

func newRole(t testing.TB, name, pkg string, args []string, q Queue, more string) *Role {
	t.Helper()
	r := &Role{GRPCAddr: FreeAddr(t), HTTPAddr: FreeAddr(t), AdminAddr: FreeAddr(t), t: t, name: name, pkg: pkg}
	config := q.yaml() + fmt.Sprintf("admin: {listen: %q}\n", r.AdminAddr) +
		fmt.Sprintf("gateway:\n  grpc: {listen: %q}\n  http: {listen: %q}\n", r.GRPCAddr, r.HTTPAddr) + more
	path := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.args = append(args, "--config", path)
	return r
}

// NewUp is `penstock up`: everything in one process.
func NewUp(t testing.TB, q Queue, sink *Sink) *Role {
	t.Helper()
	return NewUpTo(t, q, GRPCDestination(sink.GRPCAddr))
}

// NewUpTo is NewUp with destinations of the caller.
func NewUpTo(t testing.TB, q Queue, destinations string) *Role {
	t.Helper()
	return newRole(t, "up", Penstock, []string{"up"}, q, destinations)
}

// NewDemo is `penstock up --demo`.
func NewDemo(t testing.TB, q Queue) *Role {
	t.Helper()
	return newRole(t, "demo", Penstock, []string{"up", "--demo"}, q, "")
}

// NewGateway is the gateway's own binary.
func NewGateway(t testing.TB, q Queue, destinations string) *Role {
	t.Helper()
	return newRole(t, "gateway", Gateway, nil, q, destinations)
}

// NewWorker is the exporter-worker's own binary.
func NewWorker(t testing.TB, q Queue, destinations string) *Role {
	t.Helper()
	return newRole(t, "worker", Worker, nil, q, destinations)
}

// NewAlerter is the alerter's own binary; more is its alerter section.
func NewAlerter(t testing.TB, q Queue, more string) *Role {
	t.Helper()
	return newRole(t, "alerter", Alerter, nil, q, more)
}

// GRPCDestination is the destinations section for one OTLP/gRPC backend.
func GRPCDestination(addr string) string {
	return Destinations(Destination{Name: "backend", Protocol: "grpc", Endpoint: addr})
}

// HTTPDestination is the same over OTLP/HTTP.
func HTTPDestination(addr string) string {
	return Destinations(Destination{Name: "backend", Protocol: "http", Endpoint: addr})
}

// Destination is one of several.
type Destination struct {
	Name, Protocol, Endpoint string
	CA                       string // file of the backend's authority; empty: plain text
	More                     string // further keys, as YAML in braces has them
}

// Destinations is the destinations section for these.
func Destinations(list ...Destination) string {
	out := "destinations:\n"
	for _, d := range list {
		if d.More != "" {
			d.More = ", " + d.More
		}
		scheme, secure := "http://", "{insecure: true}"
		if d.CA != "" {
			scheme, secure = "https://", fmt.Sprintf("{ca_file: %q}", d.CA)
		}
		if d.Protocol == "http" {
			d.Endpoint = scheme + d.Endpoint
		}
		out += fmt.Sprintf("  - {name: %s, protocol: %s, endpoints: [%q], tls: %s, compression: none%s}\n", d.Name, d.Protocol, d.Endpoint, secure, d.More)
	}
	return out
}

// Start runs the process and waits until it is ready.
func (r *Role) Start() {
	r.t.Helper()
	r.StartUnready()
	r.Ready("http://"+r.AdminAddr+"/readyz", startPatience)
}

// StartUnready runs the process without waiting.
func (r *Role) StartUnready() {
	r.t.Helper()
	r.Process = Start(r.t, r.name, Binary(r.t, r.pkg), r.args...)
}

// Terminate is SIGTERM, an end within the patience, exit code 0.
func (r *Role) Terminate() {
	r.t.Helper()
	r.Stop(stopPatience)
}
