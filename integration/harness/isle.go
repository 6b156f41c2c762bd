//go:build linux

package harness

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
)

const (
	allowNoIsle   = "PENSTOCK_ALLOW_NO_NETNS"
	whyIsleMatter = "a cut cable is no reset connection: it says nothing to either end"
)

// Isle is a network namespace with one cable to this one, which can be cut.
// Programs in it are reached at Addr, and reach this side at Shore.
type Isle struct {
	Shore, Addr string

	t           testing.TB
	name, cable string // the cable's end in the isle
}

var isles atomic.Uint32

// NewIsle makes a network namespace; it goes with the test. It needs root: where
// it cannot be made the test fails, or, with PENSTOCK_ALLOW_NO_NETNS=1, is
// skipped with the reason.
func NewIsle(t testing.TB) *Isle {
	t.Helper()
	n := uint32(os.Getpid())%50_000*4 + isles.Add(1)%4
	net := fmt.Sprintf("10.%d.%d.", 192+n>>14%32, n>>6%256)
	host := n % 64 * 4
	i := &Isle{t: t, name: fmt.Sprintf("penstock-%d", n), cable: fmt.Sprintf("psi%d", n),
		Shore: fmt.Sprintf("%s%d", net, host+1), Addr: fmt.Sprintf("%s%d", net, host+2)}
	if err := i.make(fmt.Sprintf("pss%d", n)); err != nil {
		if os.Getenv(allowNoIsle) == "1" {
			t.Skipf("NOT TESTED: no network can be cut here: %v", err)
		}
		t.Fatalf("no network can be cut here: %v; %s. Run as root with iproute2 and network namespaces, or set %s=1 to go without", err, whyIsleMatter, allowNoIsle)
	}
	return i
}

func (i *Isle) make(shore string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("user %d may not make network namespaces", os.Geteuid())
	}
	if err := command("ip", "netns", "add", i.name); err != nil {
		return err
	}
	i.t.Cleanup(func() { // the cable goes with its end
		if err := command("ip", "netns", "delete", i.name); err != nil {
			i.t.Errorf("%v: does a process still run in it?", err)
		}
	})
	for _, args := range [][]string{
		{"link", "add", shore, "type", "veth", "peer", "name", i.cable, "netns", i.name},
		{"addr", "add", i.Shore + "/30", "dev", shore},
		{"link", "set", shore, "up"},
		{"-n", i.name, "addr", "add", i.Addr + "/30", "dev", i.cable},
		{"-n", i.name, "link", "set", "lo", "up"},
		{"-n", i.name, "link", "set", i.cable, "up"},
	} {
		if err := command("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// Start runs a program in the isle.
func (i *Isle) Start(name, path string, args ...string) *Process {
	i.t.Helper()
	return Start(i.t, name, "/usr/bin/env", append([]string{"ip", "netns", "exec", i.name, path}, args...)...)
}

// Cut unplugs the cable: packets of either side go nowhere, nothing is reset.
func (i *Isle) Cut() { i.link("down") }

// Mend plugs it in again.
func (i *Isle) Mend() { i.link("up") }

func (i *Isle) link(state string) {
	i.t.Helper()
	if err := command("ip", "-n", i.name, "link", "set", i.cable, state); err != nil {
		i.t.Fatal(err)
	}
}
