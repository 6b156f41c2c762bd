package alerts

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestAging against a list that is looked through each time.
func TestAging(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a, model := newAging(cmp.Compare[int]), map[int]time.Time{}
	now := time.Unix(0, 0)
	for range 20_000 {
		id := r.IntN(50)
		switch r.IntN(5) {
		case 0, 1, 2:
			at := now.Add(time.Duration(r.IntN(100)) * time.Second)
			a.set(id, at)
			model[id] = at
		case 3:
			a.keep(id)
			delete(model, id)
		case 4:
			now = now.Add(time.Duration(r.IntN(3)) * time.Second)
			most := 10 + r.IntN(40)
			var got, want []int
			a.drop(now, most, func(id int) { got = append(got, id) })
			for len(model) > 0 {
				oldest := slices.MinFunc(slices.Collect(maps.Keys(model)), func(x, y int) int {
					return cmp.Or(model[x].Compare(model[y]), cmp.Compare(x, y))
				})
				if len(model) <= most && model[oldest].After(now) {
					break
				}
				want = append(want, oldest)
				delete(model, oldest)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("dropped %v, want %v", got, want)
			}
		}
		if !maps.EqualFunc(a.at, model, time.Time.Equal) {
			t.Fatalf("%v, want %v", a.at, model)
		}
		if n := a.heap.Len(); n > 2*50+65 {
			t.Fatalf("%d of %d are kept", n, len(model))
		}
	}
}
