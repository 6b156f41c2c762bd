package receiver

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// arriving is a body on the way. While the budget is full, one that has been so for
// long is ended: bodies that stop half-way would shut out everybody else for as long
// as read_timeout.
type arriving struct {
	io.ReadCloser
	ended func()
	cut   atomic.Bool
}

// watch has the body of a request ended when it is needed. ended is called before the
// request is answered.
func (h *HTTP) watch(w http.ResponseWriter, r *http.Request) (ended func()) {
	a := &arriving{ReadCloser: r.Body}
	a.ended = h.receiving.track(func(error) {
		a.cut.Store(true)
		if err := http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)); err != nil {
			return // its connection is gone
		}
	})
	r.Body = a
	return a.ended
}

// Read says errPressure of a body that was ended. One that is there whole is watched
// no more.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	a.ended()
	if err != io.EOF && a.cut.Load() {
		err = errPressure
	}
	return n, err
}
