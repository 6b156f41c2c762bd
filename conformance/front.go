package conformance

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// frontPause is between tries to send something in while the endpoint says that
// it is busy.
const frontPause = 250 * time.Millisecond

// send gives the endpoint one marked item, over gRPC where it has that.
func (s *suite) send(ctx context.Context, sig signal, message []byte) error {
	var v Verdict
	if s.GRPC != "" {
		v = s.takenGRPC(ctx, sig, "", message)
	} else {
		v = s.takenHTTP(ctx, sig, protobufType, "", message)
	}
	if v.Outcome != Pass {
		return fmt.Errorf("the endpoint does not take a request of %d bytes: %s", len(message), v.Seen)
	}
	return nil
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
		return nil, fmt.Errorf("what the endpoint took did not arrive at the backend %s within %s: is it configured to export there?%s", b.addr, s.Patience, b.refused.hint())
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

// answerer is an answer that may ask to send again.
type answerer interface{ again() bool }

// again tells whether the answer is one after which a client sends again.
func (a *grpcAnswer) again() bool {
	switch a.code {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return true
	case codes.ResourceExhausted:
		return a.retryInfo() != nil
	}
	return false
}

func (a *httpAnswer) again() bool {
	return a.status == 429 || a.status == 502 || a.status == 503 || a.status == 504
}

// patiently sends while the endpoint asks to be sent the same again, within the
// patience: one that is busy for a moment deviates from nothing.
func patiently[A answerer](ctx context.Context, s *suite, send func() (A, error)) (A, error) {
	for deadline := time.Now().Add(s.Patience); ; {
		a, err := send()
		if err != nil || !a.again() || time.Now().After(deadline) || ctx.Err() != nil {
			return a, err
		}
		select {
		case <-time.After(frontPause):
		case <-ctx.Done():
		}
	}
}

// callPatiently is call until the answer is final.
func (s *suite) callPatiently(ctx context.Context, sig signal, encoding string, message []byte) (*grpcAnswer, error) {
	return patiently(ctx, s, func() (*grpcAnswer, error) { return s.call(ctx, sig, encoding, message) })
}

// postPatiently is post until the answer is final.
func (s *suite) postPatiently(ctx context.Context, sig signal, contentType, encoding string, b []byte) (*httpAnswer, error) {
	return patiently(ctx, s, func() (*httpAnswer, error) { return s.post(ctx, sig, contentType, encoding, b) })
}
