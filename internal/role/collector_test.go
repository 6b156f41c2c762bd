package role

import "testing"

func TestGrowth(t *testing.T) {
	c := &collector{percent: leastPercent}
	for live, want := range map[uint64]int{0: 250, 4 << 20: 250, 10 << 20: 100, 20 << 20: 50, 100 << 20: 15, 1 << 30: 15} {
		if got := c.growth(live); got != want {
			t.Errorf("%d MiB live: GOGC %d, want %d", live>>20, got, want)
		}
	}
}

// TestDearCollectionsBecomeFewer: the heap grows further while collections take much
// of the time, to a bound, and is held again when they do not.
func TestDearCollectionsBecomeFewer(t *testing.T) {
	c := &collector{percent: leastPercent}
	times := func(n int, gc, user float64) {
		for range n {
			c.adapt(gc, user)
		}
	}
	if times(100, 0.12, 0.88); c.percent != leastPercent {
		t.Errorf("%g %% while collections take 12 %% of the time", c.percent)
	}
	times(5, 0.2, 0.8)
	grown := c.percent
	if grown <= leastPercent || c.growth(50<<20) <= 20 {
		t.Errorf("%g %% after dear collections", grown)
	}
	if times(1000, 0.2, 0.8); c.percent != mostPercent || c.growth(50<<20) > 60 {
		t.Errorf("%g %%, GOGC %d", c.percent, c.growth(50<<20))
	}
	if times(1000, 0.01, 0.99); c.percent != leastPercent {
		t.Errorf("%g %% after cheap ones", c.percent)
	}
	c.adapt(0, 0) // a cycle in which nothing was measured
}
