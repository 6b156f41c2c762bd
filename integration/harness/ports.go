package harness

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// Ports come from below the range that the kernel gives to outgoing
// connections, so that a server can be down for a while and find its port free.
const (
	firstPort = 12000
	portCount = 20000
)

var nextPort atomic.Uint32

func init() { nextPort.Store(uint32(os.Getpid()) * 131) } // test processes start apart

// FreeAddr is a loopback address on which nothing listens, never given twice.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range portCount {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort.Add(1)%portCount)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port between 12000 and 32000")
	return ""
}
