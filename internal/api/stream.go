package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	// sendTimeout bounds one write to a client that streams: the whole has no
	// bound, each part has.
	sendTimeout = 10 * time.Second
	// idle is the pace of empty lines while there is nothing to send, for what
	// stands between and closes quiet connections.
	idle = 15 * time.Second
)

// Types of a stream.
const (
	typeLines  = "application/x-ndjson"
	typeEvents = "text/event-stream"
)

// stream writes values one by one: a line of JSON each, or as server-sent events
// when the client asked for those.
type stream struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	events bool
	buf    bytes.Buffer
}

// open begins the answer.
func open(ctx huma.Context) (*stream, error) {
	r, w := humago.Unwrap(ctx)
	s := &stream{w: w, rc: http.NewResponseController(w), events: strings.Contains(r.Header.Get("Accept"), typeEvents)}
	kind := typeLines
	if s.events {
		kind = typeEvents
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	return s, s.flush()
}

// send writes a line of JSON; an error is a client that is gone or does not read. id is
// of a server-sent event, "": none.
func (s *stream) send(event, id string, line []byte) error {
	if s.events {
		if id != "" {
			s.buf.WriteString("id: " + id + "\n")
		}
		s.buf.WriteString("event: " + event + "\ndata: ")
	}
	s.buf.Write(line)
	s.buf.WriteByte('\n')
	if s.events {
		s.buf.WriteByte('\n')
	}
	return s.flush()
}

// beat writes nothing that counts.
func (s *stream) beat() error {
	if s.events {
		s.buf.WriteString(":\n")
	}
	s.buf.WriteByte('\n')
	return s.flush()
}

func (s *stream) flush() error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := s.buf.WriteTo(s.w)
	s.buf.Reset()
	if err != nil {
		return err
	}
	return s.rc.Flush()
}

// steady is a stream that beats while nothing is sent. Its methods are safe for
// concurrent use.
type steady struct {
	cancel context.CancelFunc
	beats  sync.WaitGroup

	mu   sync.Mutex // guards everything below
	s    *stream
	gone bool // the client
}

// steady beats until ctx ends, which cancel ends; end waits for that. A client that is
// gone ends it.
func (s *stream) steady(ctx context.Context, cancel context.CancelFunc) *steady {
	x := &steady{s: s, cancel: cancel}
	x.beats.Go(func() {
		t := time.NewTicker(idle)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				x.mu.Lock()
				if x.s.beat() != nil {
					x.gone = true
					cancel()
				}
				x.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	return x
}

func (x *steady) send(event, id string, line []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.s.send(event, id, line)
	if err != nil {
		x.gone = true
	}
	return err
}

// end beats no more, and tells whether the client is gone.
func (x *steady) end() (gone bool) {
	x.cancel()
	x.beats.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gone
}
