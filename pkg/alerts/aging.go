package alerts

import (
	"container/heap"
	"time"
)

// aging are things that are dropped at a time, and the oldest of them earlier when
// there are too many. It depends on what is in it alone, not on how that came there.
type aging[K comparable] struct {
	at   map[K]time.Time
	heap ages[K] // has stale ones too: only what at has counts
}

type age[K comparable] struct {
	at time.Time
	id K
}

// ages is a heap, the oldest on top.
type ages[K comparable] struct {
	list    []age[K]
	compare func(a, b K) int // of those of the same time
}

func (a *ages[K]) Len() int      { return len(a.list) }
func (a *ages[K]) Swap(i, j int) { a.list[i], a.list[j] = a.list[j], a.list[i] }
func (a *ages[K]) Less(i, j int) bool {
	x, y := a.list[i], a.list[j]
	if c := x.at.Compare(y.at); c != 0 {
		return c < 0
	}
	return a.compare(x.id, y.id) < 0
}
func (a *ages[K]) Push(x any) { a.list = append(a.list, x.(age[K])) }
func (a *ages[K]) Pop() any {
	x := a.list[len(a.list)-1]
	a.list = a.list[:len(a.list)-1]
	return x
}

func newAging[K comparable](compare func(a, b K) int) aging[K] {
	return aging[K]{at: map[K]time.Time{}, heap: ages[K]{compare: compare}}
}

// set says when id is dropped.
func (a *aging[K]) set(id K, at time.Time) {
	if was, ok := a.at[id]; ok && was.Equal(at) {
		return
	}
	a.at[id] = at
	heap.Push(&a.heap, age[K]{at, id})
	if a.heap.Len() > 2*len(a.at)+64 {
		a.heap.list = a.heap.list[:0]
		for id, at := range a.at {
			a.heap.list = append(a.heap.list, age[K]{at, id})
		}
		heap.Init(&a.heap)
	}
}

// keep takes id out: it does not age.
func (a *aging[K]) keep(id K) { delete(a.at, id) }

// drop takes out what is due at now or more than most, and calls f with each. It
// tells whether there was any.
func (a *aging[K]) drop(now time.Time, most int, f func(K)) (any bool) {
	for a.heap.Len() > 0 {
		x := a.heap.list[0]
		at, ok := a.at[x.id]
		if ok && at.Equal(x.at) && at.After(now) && len(a.at) <= most {
			return any
		}
		heap.Pop(&a.heap)
		if ok && at.Equal(x.at) {
			delete(a.at, x.id)
			f(x.id)
			any = true
		}
	}
	return any
}
