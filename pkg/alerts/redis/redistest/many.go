package redistest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Replica runs a server that follows another, and waits until it has all of it.
func Replica(t testing.TB, of *Server) *Server {
	t.Helper()
	s := Start(t, "--replicaof", "127.0.0.1", of.port())
	eventually(t, "the replica follows", func() bool { return strings.Contains(s.Do("info", "replication"), "master_link_status:up") })
	return s
}

// Sentinels run three of them, who look after a server that has a replica and make
// that the master when the other is gone. The answer is their addresses.
func Sentinels(t testing.TB, name string, master *Server) (addrs []string) {
	t.Helper()
	var list []*Server
	for range 3 {
		conf := filepath.Join(t.TempDir(), "sentinel.conf") // it writes to it
		text := strings.Join([]string{
			"bind 127.0.0.1", "sentinel monitor " + name + " 127.0.0.1 " + master.port() + " 2",
			"sentinel down-after-milliseconds " + name + " 1000", "sentinel failover-timeout " + name + " 5000", "",
		}, "\n")
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, "redis-sentinel", conf)
		list, addrs = append(list, s), append(addrs, s.Addr)
	}
	for _, s := range list {
		eventually(t, "the sentinels know each other and the replica", func() bool {
			return strings.Contains(s.Do("info", "sentinel"), "status=ok,address="+master.Addr+",slaves=1,sentinels=3")
		})
	}
	return addrs
}

// Cluster runs n masters that share the slots.
func Cluster(t testing.TB, n int) (list []*Server) {
	t.Helper()
	const slots = 16384
	for i := range n {
		// Without the port, the bus takes one that may be above the highest. A cluster
		// that goes on with the slots that are left is what a claim needs.
		bus := strconv.Itoa(FreePort(t))
		s := Start(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
		s.Do("cluster", "addslotsrange", strconv.Itoa(i*slots/n), strconv.Itoa((i+1)*slots/n-1))
		s.Do("cluster", "set-config-epoch", strconv.Itoa(i+1))
		if i > 0 {
			s.Do("cluster", "meet", "127.0.0.1", list[0].port(), list[0].bus())
		}
		list = append(list, s)
	}
	for _, s := range list {
		eventually(t, "the cluster is complete", func() bool {
			info := s.Do("cluster", "info")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") && strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(n)+"\r")
		})
	}
	return list
}

func (s *Server) bus() string {
	for i, a := range s.args {
		if a == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}
