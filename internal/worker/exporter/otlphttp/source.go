package otlphttp

import (
	"errors"
	"io"
	"sync"
)

var errDetached = errors.New("the export is over")

// source lends bytes to the transport, which may read them in its own
// goroutine after RoundTrip returned, until detach.
type source struct {
	mu   sync.Mutex
	data []byte
	gone bool
}

// detach returns once nobody reads and nobody will.
func (s *source) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

func (s *source) reader() io.ReadCloser { return &sourceReader{s: s} }

// again is for http.Request.GetBody: the transport starts over on another
// connection when the server refused the stream unseen.
func (s *source) again() (io.ReadCloser, error) { return s.reader(), nil }

type sourceReader struct {
	s   *source
	off int
}

func (r *sourceReader) Read(p []byte) (int, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.gone {
		return 0, errDetached
	}
	if r.off == len(r.s.data) {
		return 0, io.EOF
	}
	n := copy(p, r.s.data[r.off:])
	r.off += n
	return n, nil
}

func (r *sourceReader) Close() error { return nil }
