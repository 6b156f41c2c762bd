package worker

import (
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// health is what a destination said last. The zero value knows nothing.
type health struct {
	mu      sync.Mutex
	err     *exporter.Error // mu; the last failure
	at      time.Time       // mu; of err
	success time.Time       // mu; the last one
}

func (h *health) failed(e *exporter.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.at = e, time.Now()
}

func (h *health) succeeded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.success = time.Now()
}

func (h *health) last() (err *exporter.Error, at, success time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err, h.at, h.success
}
