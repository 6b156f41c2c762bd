//go:build linux

package main

import (
	"math"
	"strings"
	"testing"
)

// TestCost is a measurement with a profile, short, of the real program.
func TestCost(t *testing.T) {
	r, said := measured(t, "cost", "-scenarios", "traces100", "-warmup", "300ms", "-duration", "2s", "-durability", "process", "-clients", "8")
	if len(r.Results) != 1 {
		t.Fatalf("%d results", len(r.Results))
	}
	x := r.Results[0]
	sound(t, x)
	share, spent := 0.0, 0.0
	for _, c := range x.Costs {
		share, spent = share+c.Share, spent+c.PerRaw
	}
	if all := x.CPU * 1000 / x.RawBytes; math.Abs(share-1) > 1e-6 || math.Abs(spent/all-1) > 1e-6 {
		t.Errorf("shares add up to %v, costs to %v ns a byte of %v", share, spent, all)
	}
	if !strings.Contains(said, "queue: server") {
		t.Errorf("the table has no parts:\n%s", said)
	}
}
