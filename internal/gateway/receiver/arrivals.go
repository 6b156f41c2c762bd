package receiver

import (
	"sync"
	"time"
)

// How large requests of suspects are read.
const (
	// freely is how much of a request is read without a rest. None that is smaller
	// notices anything.
	freely = 1 << 20
	// arrivalPiece is how much is read between two rests, or a little more.
	arrivalPiece = 64 << 10
	// arrivalCost is the work of a byte from its socket until it is in one piece. By
	// profile 1.3 ns over HTTP and 4 over gRPC; a gateway that read 25 MB/s of bombs
	// over gRPC took 0.19 of a core more for it, with frames and threads that wake.
	arrivalCost = 8 * time.Nanosecond
)

// arrivals is the pace at which the large requests of all suspects together are read:
// that at which their arrival has a tenth of a core, 14 MB/s. Nobody has a turn, so that
// who sends slowly keeps nobody waiting; those that send at a time share it.
type arrivals struct {
	mu   sync.Mutex
	free time.Time // mu; when all that was read is rested for
}

// rest notes that n bytes were read, and is how long their reader rests.
func (a *arrivals) rest(n int, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.free.Before(now) {
		a.free = now
	}
	a.free = a.free.Add(restFactor * arrivalCost * time.Duration(n))
	return a.free.Sub(now)
}
