package pool

import "time"

// The first and the longest wait before an endpoint that hangs gets a call.
const (
	firstHang   = time.Second
	longestHang = 30 * time.Second
)

// hang notes that e answers nothing, once more. What was under way together
// counts once. It needs Pool.mu.
func (e *endpoint) hang() {
	now := time.Now()
	if e.hangs > 0 && now.Before(e.retryHung) {
		return
	}
	e.retryHung = now.Add(min(firstHang<<min(e.hangs, 10), longestHang))
	e.hangs++
}

// leftOut needs Pool.mu.
func (e *endpoint) leftOut() bool {
	return e.hangs > 0 && (e.trial || time.Now().Before(e.retryHung))
}
