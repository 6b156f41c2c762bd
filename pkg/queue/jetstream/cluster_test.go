package jetstream

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/penstock-otel/penstock/pkg/queue"
)

const clusterConfig = `
listen: "127.0.0.1:-1"
server_name: %q
jetstream { store_dir: %q, max_file_store: 1GB, max_memory_store: 64MB, sync_interval: always }
accounts {
  SYS: { users: [{user: sys, password: pw}], exports: [{service: "$SYS.REQ.SERVER.PING.VARZ", response: stream}] }
  APP: { jetstream: enabled, users: [{user: app, password: pw}], imports: [{service: {account: SYS, subject: "$SYS.REQ.SERVER.PING.VARZ"}}] }
}
system_account: SYS
`

// cluster is external servers, one or several, whose account APP may ask them.
type cluster struct {
	t       *testing.T
	urls    string
	configs []string // file names
	servers []*server.Server
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, servers: make([]*server.Server, n)}
	ports := freePorts(t, n)
	var routes []string
	for _, p := range ports {
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", p))
	}
	var list []string
	for i := range n {
		text := fmt.Sprintf(clusterConfig, fmt.Sprintf("n%d", i), t.TempDir())
		if n > 1 {
			text += fmt.Sprintf("cluster { name: test, listen: \"127.0.0.1:%d\", routes: [%s] }\n", ports[i], strings.Join(routes, ", "))
		}
		file := filepath.Join(t.TempDir(), "nats.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.configs = append(c.configs, file)
		c.start(i, func(*server.Options) {})
	}
	for _, s := range c.servers {
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("server is not ready")
		}
		list = append(list, fmt.Sprintf("nats://app:pw@%s", s.Addr()))
	}
	until(t, "all servers know the leader of the cluster", func() bool {
		for _, s := range c.servers {
			if !s.JetStreamIsCurrent() || s.Healthz(nil).Error != "" {
				return false
			}
		}
		return true
	})
	c.urls = strings.Join(list, ",")
	return c
}

// start starts server i, also once more, with changed settings.
func (c *cluster) start(i int, change func(*server.Options)) {
	c.t.Helper()
	o, err := server.ProcessConfigFile(c.configs[i])
	if err != nil {
		c.t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	change(o)
	s, err := server.NewServer(o)
	if err != nil {
		c.t.Fatal(err)
	}
	go s.Start() // Shutdown waits for it
	c.t.Cleanup(func() { stop(s) })
	c.servers[i] = s
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// TestSystemRequest proves one server by asking it over NATS.
func TestSystemRequest(t *testing.T) {
	t.Parallel()
	url := newCluster(t, 1).urls
	proof, err := tryOpen(t, Config{URL: url, Logger: logTo(t)})
	if err != nil || !strings.HasPrefix(proof, "strict, verified: sync always on n0") {
		t.Fatalf("%q, %v", proof, err)
	}
	_, err = tryOpen(t, Config{URL: url, Durability: Replicated})
	if err == nil || !strings.Contains(err.Error(), "no cluster, but one server") {
		t.Fatalf("error is %v", err)
	}
}

// TestReplicated runs on a cluster of three that is proven over NATS: three
// replicas, and nothing lost when the leader of the stream stops.
func TestReplicated(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	url, servers := c.urls, c.servers
	until(t, "every server answers", func() bool {
		proof, err := tryOpen(t, Config{URL: url, Durability: Replicated})
		return err == nil && strings.Count(proof, "n") > 0
	})
	q := openQueue(t, Config{URL: url, Durability: Replicated, Logger: logTo(t)})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const stream = "REPLICATED_0"
	if err := q.EnsureStream(ctx, queue.StreamConfig{Name: stream, MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := q.EnsureConsumer(ctx, stream, queue.ConsumerConfig{Name: "c", AckWait: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	s, err := q.js.Stream(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().Config.Replicas; n != 3 {
		t.Fatalf("%d replicas", n)
	}
	reader, err := q.Consume(ctx, stream, "c", queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	leader := s.CachedInfo().Cluster.Leader
	confirmed := map[uint64]string{}
	for i := range 60 {
		if i == 20 {
			for _, s := range servers {
				if s.Name() == leader {
					stop(s)
				}
			}
		}
		id := fmt.Sprint(i)
		r, err := q.Publish(ctx, stream, &queue.Message{ID: id, Body: []byte(id)})
		if err != nil {
			t.Fatal(err)
		}
		confirmed[r.Sequence] = id
		// At once, from a replica that may be behind the leader.
		if m, _, err := q.Get(ctx, stream, r.Sequence); err != nil || m.ID != id {
			t.Fatalf("confirmed %s at %d: %+v, %v", id, r.Sequence, m, err)
		}
		if m, _, err := q.getFromLeader(ctx, stream, "it", r.Sequence); err != nil || m.ID != id || string(m.Body) != id {
			t.Fatalf("confirmed %s at %d: %+v, %v", id, r.Sequence, m, err)
		}
	}
	for seq, id := range confirmed {
		m, _, err := q.Get(ctx, stream, seq)
		if err != nil || m.ID != id {
			t.Errorf("confirmed %s at %d: %+v, %v", id, seq, m, err)
		}
	}
	seen := map[string]bool{}
	for len(seen) < 60 {
		d, err := reader.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.AckSync(ctx); err != nil {
			t.Fatal(err)
		}
		seen[d.Message().ID] = true
	}
}
