package receiver

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// arriving is a body on the way. While the budget is full, one that has been so for
// long is ended: bodies that stop half-way would shut out everybody else for as long
// as read_timeout. A suspect's that is large is read slowly.
type arriving struct {
	io.ReadCloser
	ended func()
	cut   atomic.Bool

	rest         func(n int) error // for n bytes
	read, unrest int
}

// watch has the body of a request ended when it is needed. ended is called before the
// request is answered.
func (h *HTTP) watch(w http.ResponseWriter, r *http.Request) (ended func()) {
	a := &arriving{ReadCloser: r.Body}
	control := http.NewResponseController(w)
	a.ended = h.receiving.track(func(error) {
		a.cut.Store(true)
		if err := control.SetReadDeadline(time.Unix(1, 0)); err != nil {
			return // its connection is gone
		}
	})
	began, ctx := time.Now(), r.Context()
	var rested time.Duration
	a.rest = func(n int) error {
		d, err := h.intake.restArriving(ctx, n)
		if d == 0 {
			return err
		}
		rested = min(rested+d, h.readTimeout)
		a.postpone(control, began.Add(h.readTimeout+rested), began.Add(h.server.WriteTimeout+rested))
		return err
	}
	r.Body = a
	return a.ended
}

// postpone moves the deadlines of a request: its client is not to blame for rests.
func (a *arriving) postpone(control *http.ResponseController, read, write time.Time) {
	if control.SetReadDeadline(read) != nil || control.SetWriteDeadline(write) != nil {
		return // its connection is gone
	}
	if a.cut.Load() && control.SetReadDeadline(time.Unix(1, 0)) != nil {
		return
	}
}

// Read says errPressure of a body that was ended. One that is there whole is watched
// no more.
func (a *arriving) Read(p []byte) (int, error) {
	if a.unrest >= arrivalPiece {
		if err := a.rest(a.unrest); err != nil {
			a.ended()
			return 0, err
		}
		a.unrest = 0
	}
	n, err := a.ReadCloser.Read(p)
	if a.read += n; a.read > freely {
		a.unrest += n
	}
	if err == nil {
		return n, nil
	}
	a.ended()
	if err != io.EOF && a.cut.Load() {
		err = errPressure
	}
	return n, err
}

// restArriving keeps a suspect waiting for n bytes of a body, and tells how long it
// waited.
func (in *Intake) restArriving(ctx context.Context, n int) (time.Duration, error) {
	s := in.suspects
	if !s.has(from(ctx), time.Now()) {
		return 0, nil
	}
	began := s.clock.now()
	select {
	case <-s.clock.after(s.arrivals.rest(n, began)):
		return s.clock.now().Sub(began), nil
	case <-ctx.Done():
		return 0, &halted{gone(ctx)}
	case <-in.stopping:
		return 0, &halted{stoppingNow()}
	}
}
