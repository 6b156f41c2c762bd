package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Result is what the generator says at its end.
type Result struct {
	AckedItems    uint64   `json:"acked_items"` // from the first request to the last
	AckedRequests uint64   `json:"acked_requests"`
	Failed        uint64   `json:"failed_requests"`
	Errors        []string `json:"errors,omitempty"` // the first few
	WindowItems   uint64   `json:"window_items"`     // acknowledged between mark and end
	// Unsent items were due by the end of the load and had not been sent: with a
	// rate that is too high they are many. 0 in a closed loop.
	Unsent  uint64  `json:"unsent_items"`
	Latency Latency `json:"latency"` // of requests acknowledged in the window
}

// failures counts refused and broken requests, and keeps the first few errors.
type failures struct {
	mu   sync.Mutex // guards what is below
	n    uint64
	errs []string
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if len(f.errs) < 5 {
		f.errs = append(f.errs, err.Error())
	}
}

// Decode reads what the command "bench generate" wrote.
func Decode(b []byte) (r Result, err error) {
	b = bytes.TrimPrefix(b, []byte(Connected))
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("generator's result %q: %w", b, err)
	}
	return r, nil
}

func (r Result) encode(w io.Writer) error { return json.NewEncoder(w).Encode(r) }
