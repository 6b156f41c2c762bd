package conformance

import (
	"bytes"
	"sync"
)

// maxHandshake bounds what is kept of a handshake's error.
const maxHandshake = 300

// handshakes keeps the last TLS handshake that failed at a backend, of the lines
// that its server logs: a client that does not trust the certificate, or speaks
// plain text, shows nowhere else. A connection that only ended before its handshake
// says nothing of why, so it takes the place of no other.
type handshakes struct {
	mu   sync.Mutex
	last string // mu
}

// Write is one line of the server's log.
func (h *handshakes) Write(line []byte) (int, error) {
	n := len(line)
	if _, what, ok := bytes.Cut(line, []byte("TLS handshake error ")); ok {
		what = bytes.TrimSpace(what)
		h.mu.Lock()
		if h.last == "" || !bytes.HasSuffix(what, []byte(": EOF")) {
			h.last = string(what[:min(len(what), maxHandshake)])
		}
		h.mu.Unlock()
	}
	return n, nil
}

// hint goes behind the error of what did not arrive; empty: no handshake failed.
func (h *handshakes) hint() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == "" {
		return ""
	}
	return "; its last TLS handshake that failed was " + h.last
}
