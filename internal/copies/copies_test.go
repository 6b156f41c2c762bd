package copies

import "testing"

func TestWatch(t *testing.T) {
	Count(Joined, 1)
	c, stop := Watch()
	Count(Joined, 10)
	Count(Joined, 5)
	Count(Decoded, 7)
	stop()
	Count(Joined, 100)
	want := map[Place]int64{Joined: 15, Decoded: 7}
	for _, p := range Places() {
		if p.String() == "" {
			t.Errorf("place %d has no name", p)
		}
		if got := c.Of(p); got != want[p] {
			t.Errorf("%s: %d bytes, want %d", p, got, want[p])
		}
	}
}

func TestOnlyTheLastWatches(t *testing.T) {
	first, stopFirst := Watch()
	second, stopSecond := Watch()
	stopFirst() // must not end the second
	Count(Packed, 3)
	stopSecond()
	if a, b := first.Of(Packed), second.Of(Packed); a != 0 || b != 3 {
		t.Errorf("first counted %d and second %d bytes, want 0 and 3", a, b)
	}
}
