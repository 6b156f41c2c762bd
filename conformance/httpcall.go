package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Content types of OTLP/HTTP.
const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// httpRequest is one exchange over HTTP.
type httpRequest struct {
	method      string // "": POST
	path        string
	contentType string // "": none is sent
	encoding    string // of the body, as it is
	accept      string // Accept-Encoding
	body        io.Reader
	size        int64 // of the body; -1: not declared
	via         http.RoundTripper
}

// httpAnswer is what a server said.
type httpAnswer struct {
	status int
	header http.Header
	body   []byte // decompressed
	size   int    // of the body as received
	proto  string
	packed bool
}

func (a *httpAnswer) mediaType() string {
	t, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// String is for verdicts.
func (a *httpAnswer) String() string {
	s := fmt.Sprintf("HTTP %d, Content-Type %q", a.status, a.header.Get("Content-Type"))
	if st, err := a.statusBody(); err == nil && st.GetMessage() != "" {
		return s + ": " + st.GetMessage()
	}
	return fmt.Sprintf("%s, %d bytes: %s", s, len(a.body), a.body[:min(len(a.body), 120)])
}

// statusBody reads the google.rpc.Status of a refusal, by its content type. In
// JSON a detail of a type that is not known here is left out.
func (a *httpAnswer) statusBody() (*spb.Status, error) {
	var st spb.Status
	switch t := a.mediaType(); t {
	case protobufType:
		return &st, proto.Unmarshal(a.body, &st)
	case jsonType:
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(a.body, &st); err == nil {
			return &st, nil
		}
		var plain struct {
			Code    int32
			Message string
		}
		if err := json.Unmarshal(a.body, &plain); err != nil {
			return nil, err
		}
		return &spb.Status{Code: plain.Code, Message: plain.Message}, nil
	default:
		return nil, fmt.Errorf("a Status in %q", t)
	}
}

func (a *httpAnswer) badRequest() bool {
	st, err := a.statusBody()
	return err == nil && findDetail[*errdetails.BadRequest](st) != nil
}

// newHTTP is a transport that keeps connections, over HTTP/1.1 unless h2.
func newHTTP(t *tls.Config, h2 bool) *http.Transport {
	tr := &http.Transport{DisableCompression: true, MaxConnsPerHost: 64, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: h2}
	if t != nil {
		tr.TLSClientConfig = t.Clone()
	}
	if !h2 {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return tr
}

// post sends b to the path of the signal.
func (s *suite) post(ctx context.Context, sig signal, contentType, encoding string, b []byte) (*httpAnswer, error) {
	return s.do(ctx, httpRequest{path: sig.path(), contentType: contentType, encoding: encoding, body: bytes.NewReader(b), size: int64(len(b))})
}

// do is one exchange, within the suite's timeout.
func (s *suite) do(ctx context.Context, r httpRequest) (*httpAnswer, error) {
	if err := s.silent(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if r.method == "" {
		r.method = http.MethodPost
	}
	var body io.Reader
	if r.body != nil {
		body = io.NopCloser(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, strings.TrimSuffix(s.HTTP, "/")+r.path, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = r.size
	if r.size == 0 {
		req.Body = http.NoBody
	}
	req.Header = http.Header{"User-Agent": {userAgent}}
	for k, v := range map[string]string{"Content-Type": r.contentType, "Content-Encoding": r.encoding, "Accept-Encoding": r.accept} {
		if v != "" {
			req.Header.Set(k, v)
		}
	}
	s.addHeaders(req.Header)
	via := r.via
	if via == nil {
		via = s.h1
	}
	answer, err := readHTTP(via.RoundTrip(req))
	s.heard(ctx, err)
	return answer, err
}

func readHTTP(resp *http.Response, err error) (*httpAnswer, error) {
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("HTTP %s, whose body ended after %d bytes: %w", resp.Status, len(b), err)
	}
	if len(b) == maxAnswer {
		return nil, fmt.Errorf("HTTP %s with an answer of %d bytes or more", resp.Status, maxAnswer)
	}
	a := &httpAnswer{status: resp.StatusCode, header: resp.Header, size: len(b), proto: resp.Proto, body: b}
	if e := resp.Header.Get("Content-Encoding"); e != "" {
		a.packed = true
		if a.body, err = unpack(e, b, maxAnswer); err != nil {
			return nil, fmt.Errorf("HTTP %s, whose body is no %s: %w", resp.Status, e, err)
		}
	}
	return a, nil
}
