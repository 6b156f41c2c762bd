package credential

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

const (
	// Bounds of the wait after a failed request; it doubles from the first.
	firstWait   = time.Second
	longestWait = 10 * time.Second
	// longestAsked is how long a wait is that the endpoint asks for, at most.
	longestAsked = time.Minute
	// dropEvery is how often a refusal of the destination drops the token: one that
	// refuses every token must not send all exports to the endpoint.
	dropEvery = time.Minute
)

var errClosed = errors.New("the destination is closed")

// source has the present token of a token endpoint. It starts goroutines for
// requests alone, which Close waits for.
type source struct {
	endpoint *endpoint
	margin   time.Duration
	options  Options
	log      *slog.Logger
	now      func() time.Time

	life context.Context // of the requests
	end  context.CancelFunc

	mu       sync.Mutex // guards everything below
	token    *token     // nil: none
	fetching *fetch     // nil: no request is under way
	failed   error      // of the last request, nil after a success
	wait     time.Duration
	again    time.Time // no request before that
	dropped  time.Time // when a refusal last dropped a token
	closed   bool
	running  sync.WaitGroup
}

// token is one that was fetched; never changed.
type token struct {
	value string // of the authorization header
	// renew is when the next one is fetched, until when this one is used; zero for
	// ever.
	renew, until, expires time.Time
}

// fetch is one request that any number of exports wait for.
type fetch struct {
	done  chan struct{} // closed when value and err are set
	value string
	err   error
}

func newSource(c OAuth2, o Options) (*source, error) {
	e, err := newEndpoint(c, o)
	if err != nil {
		return nil, err
	}
	s := &source{endpoint: e, margin: time.Duration(c.ExpiryMargin), options: o, log: o.Logger, now: time.Now}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Authorization implements outgoing.Credential.
func (s *source) Authorization(ctx context.Context) (string, error) {
	f, value, err := s.present()
	if f == nil {
		return value, err
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return "", fmt.Errorf("token endpoint %s has not answered yet: %w", s.endpoint.host, context.Cause(ctx))
	}
}

// present is the token of now, or the request to wait for.
func (s *source) present() (wait *fetch, value string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if t := s.token; t != nil && (t.until.IsZero() || now.Before(t.until)) {
		if !t.renew.IsZero() && !now.Before(t.renew) && s.fetching == nil && !now.Before(s.again) {
			s.fetch()
		}
		return nil, t.value, nil
	}
	switch {
	case s.fetching != nil:
	case s.closed:
		return nil, "", errClosed
	case s.failed != nil && now.Before(s.again):
		return nil, "", s.failed
	default:
		s.fetch()
	}
	return s.fetching, "", nil
}

// fetch begins a request; mu is held and none is under way.
func (s *source) fetch() {
	if s.closed {
		return
	}
	f := &fetch{done: make(chan struct{})}
	s.fetching = f
	s.running.Go(func() {
		a, err := s.endpoint.ask(s.life)
		s.fetched(f, a, err)
		close(f.done)
	})
}

// fetched takes in the outcome of a request.
func (s *source) fetched(f *fetch, a answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetching = nil
	if s.life.Err() != nil {
		f.err = errClosed
		return
	}
	now := s.now()
	if err != nil {
		f.err = err
		first := s.failed == nil
		s.failed = err
		s.wait = min(max(2*s.wait, firstWait), longestWait)
		s.again = now.Add(max(s.wait, min(a.after, longestAsked)))
		s.options.Metrics.fetched(s.options.Destination, err, time.Time{})
		if t := s.token; first && t != nil { // else exports fail and say it
			s.log.Warn("token cannot be refreshed; the present one is used until it expires", "error", err, "expires", t.expires)
		}
		return
	}
	t := &token{value: a.value}
	if a.life > 0 {
		t.expires = now.Add(a.life)
		t.renew = t.expires.Add(-min(s.margin, a.life/2))
		t.until = t.expires.Add(-min(time.Second, a.life/10)) // it has to arrive, too
	}
	f.value, s.token = t.value, t
	s.failed, s.wait, s.again = nil, 0, time.Time{}
	s.options.Metrics.fetched(s.options.Destination, nil, t.expires)
	s.log.Debug("token fetched", "endpoint", s.endpoint.host, "expires", t.expires)
}

// Refused implements outgoing.Credential.
func (s *source) Refused(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == nil || s.token.value != value {
		return !s.closed // there is another already, or about to be
	}
	now := s.now()
	if !s.dropped.IsZero() && now.Sub(s.dropped) < dropEvery {
		return false
	}
	s.dropped, s.token = now, nil
	s.options.Metrics.dropped(s.options.Destination)
	s.log.Warn("destination refuses the token before it expires; another one is fetched")
	return true
}

// Close implements outgoing.Credential.
func (s *source) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.running.Wait()
}

// secretFile is the client's secret, in the configuration or in a file.
type secretFile struct {
	fixed string
	file  *config.Reread[string] // nil: fixed
}

func (f secretFile) now() string {
	if f.file == nil {
		return f.fixed
	}
	return f.file.Now()
}
