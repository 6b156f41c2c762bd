package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// Bounds of driving an endpoint into overload.
const (
	overloadUploads = 48
	overloadBytes   = 8 << 20 // of each upload, at most
	overloadProbe   = 4 << 20 // of each request that is tried beside them
	overloadFor     = 20 * time.Second
)

const noOverload = "the endpoint is not to be driven into overload: give -overload"

// overloadGRPC is an answer to a call while the endpoint is busy with uploads
// that do not end, other than OK; nil with the verdict when there is none.
func (s *suite) overloadGRPC(ctx context.Context) (*grpcAnswer, Verdict) {
	sig := s.signals[0]
	message := s.largeProbe(sig)
	var found *grpcAnswer
	v := s.overload(ctx, func(ctx context.Context) (bool, error) {
		a, err := s.call(ctx, sig, "", message)
		if err != nil {
			return false, err
		}
		found = a
		return a.code != codes.OK, nil
	})
	if v.Outcome != Pass {
		return nil, v
	}
	return found, v
}

// overloadHTTP is the same over HTTP.
func (s *suite) overloadHTTP(ctx context.Context, contentType string) (*httpAnswer, Verdict) {
	sig := s.signals[0]
	message := s.largeProbe(sig)
	if contentType == jsonType { // white space may follow, RFC 8259
		message = append([]byte(sig.requestJSON(newMark())), bytes.Repeat([]byte(" "), len(message))...)
	}
	var found *httpAnswer
	v := s.overload(ctx, func(ctx context.Context) (bool, error) {
		a, err := s.post(ctx, sig, contentType, "", message)
		if err != nil {
			return false, err
		}
		found = a
		return a.status != http.StatusOK, nil
	})
	if v.Outcome != Pass {
		return nil, v
	}
	return found, v
}

// largeProbe is a sound request that takes room: an endpoint that is full may well
// have some left for a small one.
func (s *suite) largeProbe(sig signal) []byte {
	b, err := io.ReadAll(largeItem(sig, newMark(), min(s.MaxRequestBytes/2, overloadProbe)))
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err)) // it is made in memory
	}
	return b
}

// overload asks until an answer is a refusal, while uploads of all but the last
// byte of a request stand open.
func (s *suite) overload(ctx context.Context, refused func(context.Context) (bool, error)) Verdict {
	if !s.Overload {
		return notApplicable(noOverload)
	}
	ctx, cancel := context.WithTimeout(ctx, overloadFor)
	defer cancel()
	uploads, end := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer func() {
		end()
		open.Wait()
	}()
	size := min(s.MaxRequestBytes/2, overloadBytes)
	for range overloadUploads {
		open.Go(func() {
			for uploads.Err() == nil { // one that is refused makes room: begin anew
				s.upload(uploads, size)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	tried := 0
	for ctx.Err() == nil {
		found, err := refused(ctx)
		if found {
			return passed
		}
		if err == nil {
			tried++
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return notApplicable("%d uploads of %d bytes at a time did not overload the endpoint: it took %d requests beside them", overloadUploads, size, tried)
}

// upload begins a request and does not end it before ctx does.
func (s *suite) upload(ctx context.Context, size int64) {
	sig := s.signals[0]
	stalled := io.MultiReader(io.LimitReader(repeat{}, size-1), waitFor{ctx})
	url, contentType := s.HTTP+sig.path(), protobufType
	var via http.RoundTripper = s.h1
	if s.HTTP == "" {
		scheme := "http"
		if s.TLS != nil {
			scheme = "https"
		}
		url, contentType, via = scheme+"://"+s.GRPC+sig.method(), "application/grpc", s.h2
		stalled = frameOf(stalled, size)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.NopCloser(stalled))
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	if req.ContentLength = size; s.HTTP == "" {
		req.ContentLength = -1
	}
	req.Header = http.Header{"Content-Type": {contentType}, "Te": {"trailers"}, "User-Agent": {userAgent}}
	s.addHeaders(req.Header)
	resp, err := via.RoundTrip(req)
	if err != nil {
		return // it was ended, as meant
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
}

// waitFor reads nothing until its context ends.
type waitFor struct{ ctx context.Context }

func (w waitFor) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}
