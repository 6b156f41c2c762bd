package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// maxAnswer is how much of an answer is read: more than the 4 MiB that the
// specification recommends as the limit of answers.
const maxAnswer = 5 << 20

// grpcAnswer is what a server said to one call. The suite speaks gRPC by itself
// rather than with a library, which would hide or mend what it looks for.
type grpcAnswer struct {
	code    codes.Code
	message string
	details *spb.Status // nil: none
	payload []byte      // decompressed; nil: no message
	size    int         // of the body as received
	packed  bool        // the message was compressed
}

// String is for verdicts.
func (a *grpcAnswer) String() string {
	s := codeName(a.code)
	if a.message != "" {
		s += ": " + a.message
	}
	return s
}

// retryInfo is the wait that the answer asks for.
func (a *grpcAnswer) retryInfo() *errdetails.RetryInfo {
	return findDetail[*errdetails.RetryInfo](a.details)
}

func findDetail[M proto.Message](st *spb.Status) (none M) {
	for _, d := range st.GetDetails() {
		if m, err := d.UnmarshalNew(); err == nil {
			if found, ok := m.(M); ok {
				return found
			}
		}
	}
	return none
}

// codeNames are the names of the gRPC specification.
var codeNames = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

func codeName(c codes.Code) string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", c)
}

// frame is one length-prefixed message of gRPC.
func frame(compressed bool, message []byte) []byte {
	b := make([]byte, 5, 5+len(message))
	if compressed {
		b[0] = 1
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

// frameOf is frame for a message that is not in memory.
func frameOf(message io.Reader, size int64) io.Reader {
	b := make([]byte, 5)
	binary.BigEndian.PutUint32(b[1:], uint32(size))
	return io.MultiReader(bytes.NewReader(b), message)
}

// newH2 is a transport of HTTP/2 alone, over TLS or with prior knowledge.
func newH2(t *tls.Config) *http.Transport {
	tr := &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, Protocols: new(http.Protocols)}
	if t == nil {
		tr.Protocols.SetUnencryptedHTTP2(true)
		return tr
	}
	tr.Protocols.SetHTTP2(true)
	tr.TLSClientConfig = t.Clone()
	return tr
}

// call is an Export of s with one message.
func (s *suite) call(ctx context.Context, sig signal, encoding string, message []byte) (*grpcAnswer, error) {
	if encoding != "" {
		message = packed(encoding, message)
	}
	return s.callRaw(ctx, sig.method(), encoding, bytes.NewReader(frame(encoding != "", message)))
}

// callRaw is a call with what is sent as its body, within the suite's timeout.
func (s *suite) callRaw(ctx context.Context, method, encoding string, body io.Reader) (*grpcAnswer, error) {
	if err := s.silent(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	scheme := "http"
	if s.TLS != nil {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+s.GRPC+method, io.NopCloser(body))
	if err != nil {
		return nil, err
	}
	req.ContentLength = -1
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {userAgent}, "Grpc-Accept-Encoding": {"identity,gzip"}}
	if encoding != "" {
		req.Header.Set("Grpc-Encoding", encoding)
	}
	s.addHeaders(req.Header)
	answer, err := readGRPC(s.h2.RoundTrip(req))
	s.heard(ctx, err)
	return answer, err
}

func readGRPC(resp *http.Response, err error) (*grpcAnswer, error) {
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if len(body) == maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes or more", maxAnswer)
	}
	// With a status in the headers the stream may end in any way.
	status := resp.Header
	if status.Get("Grpc-Status") == "" {
		if status = resp.Trailer; err != nil {
			return nil, fmt.Errorf("the answer ended after %d bytes: %w", len(body), err)
		}
	}
	code, err := strconv.ParseUint(status.Get("Grpc-Status"), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("HTTP %s without a grpc-status, content-type %q", resp.Status, resp.Header.Get("Content-Type"))
	}
	a := &grpcAnswer{code: codes.Code(code), size: len(body)}
	if a.message, err = url.PathUnescape(status.Get("Grpc-Message")); err != nil {
		a.message = status.Get("Grpc-Message")
	}
	if d := status.Get("Grpc-Status-Details-Bin"); d != "" {
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(d, "="))
		if err != nil {
			return nil, fmt.Errorf("grpc-status-details-bin is not base64: %w", err)
		}
		a.details = new(spb.Status)
		if err := proto.Unmarshal(raw, a.details); err != nil {
			return nil, fmt.Errorf("grpc-status-details-bin is no google.rpc.Status: %w", err)
		}
	}
	if len(body) == 0 {
		return a, nil
	}
	a.packed = body[0] == 1
	a.payload, err = unframe(body, resp.Header.Get("Grpc-Encoding"), maxAnswer)
	return a, err
}

// unframe takes the one message out of a body.
func unframe(body []byte, encoding string, limit int) ([]byte, error) {
	if len(body) < 5 {
		return nil, fmt.Errorf("%d bytes are no gRPC message", len(body))
	}
	n := int64(binary.BigEndian.Uint32(body[1:5]))
	if n != int64(len(body)-5) {
		return nil, fmt.Errorf("a message of %d bytes by its prefix, of which %d came", n, len(body)-5)
	}
	switch body[0] {
	case 0:
		return body[5:], nil
	case 1:
		return unpack(encoding, body[5:], limit)
	}
	return nil, errors.New("the compressed-flag is neither 0 nor 1")
}
