package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// frontPause is between tries to send something in while the endpoint says that
// it is busy.
const frontPause = 250 * time.Millisecond

// send gives the endpoint one marked item, over gRPC where it has that. It goes
// on trying while the endpoint asks for it, within the patience.
func (s *suite) send(ctx context.Context, sig signal, message []byte) error {
	deadline := time.Now().Add(s.Patience)
	for {
		again, err := s.sendOnce(ctx, sig, message)
		if err == nil {
			return nil
		}
		if !again || time.Now().After(deadline) {
			return fmt.Errorf("the endpoint does not take a request of %d bytes: %w", len(message), err)
		}
		select {
		case <-time.After(frontPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *suite) sendOnce(ctx context.Context, sig signal, message []byte) (again bool, _ error) {
	if s.GRPC != "" {
		a, err := s.call(ctx, sig, "", message)
		switch {
		case err != nil:
			return true, err
		case a.code == codes.OK:
			return false, nil
		}
		return a.code == codes.Unavailable || a.retryInfo() != nil, errors.New(a.String())
	}
	a, err := s.post(ctx, sig, protobufType, "", message)
	switch {
	case err != nil:
		return true, err
	case a.status == 200:
		return false, nil
	}
	return a.status == 429 || a.status == 502 || a.status == 503 || a.status == 504, errors.New(a.String())
}

// through sends one marked item and waits for its first arrival at b.
func (s *suite) through(ctx context.Context, b *backend, sc script) (*watch, error) {
	sig, mark := s.signals[0], newMark()
	return s.throughAs(ctx, b, sig, mark, sig.request(mark), sc)
}

func (s *suite) throughAs(ctx context.Context, b *backend, sig signal, mark string, message []byte, sc script) (*watch, error) {
	w := b.expect(mark, sc)
	if err := s.send(ctx, sig, message); err != nil {
		return nil, err
	}
	if !w.await(ctx, 1, s.Patience) {
		return nil, fmt.Errorf("what the endpoint took did not arrive at the backend %s within %s: is it configured to export there?", b.addr, s.Patience)
	}
	return w, nil
}

// anyBackend is one to look at what the endpoint forwards; nil: there is none.
func (s *suite) anyBackend() *backend {
	if s.backends.grpc != nil {
		return s.backends.grpc
	}
	return s.backends.http
}

// quiet waits as long as something that must not come is watched for.
func (s *suite) quiet(ctx context.Context) {
	select {
	case <-time.After(s.Quiet):
	case <-ctx.Done():
	}
}
