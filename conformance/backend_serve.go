package conformance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func anyOf(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(fmt.Sprintf("BUG: detail %T cannot be encoded: %v", m, err))
	}
	return a
}

// arrived reads the body of a request. What is wrong with it is a problem of
// the arrival, never an error: the script answers all the same.
func arrived(r *http.Request, over string) (*arrival, []byte) {
	a := &arrival{method: r.URL.Path, header: r.Header.Clone(), peer: r.RemoteAddr, over: over}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxArrival))
	a.at = time.Now()
	if err != nil {
		a.problem = fmt.Sprintf("the body ended after %d bytes: %v", len(raw), err)
		return a, raw
	}
	var body []byte
	if over == "gRPC" {
		body, err = unframe(raw, r.Header.Get("Grpc-Encoding"), maxArrival)
	} else {
		encoding := r.Header.Get("Content-Encoding")
		if body, err = unpack(encoding, raw, maxArrival); err == nil && encoding == "" && bytes.HasPrefix(raw, []byte("\x1f\x8b")) {
			a.problem = "the body is gzip without Content-Encoding: gzip"
		}
	}
	if err != nil {
		a.problem = err.Error()
		return a, raw
	}
	a.size, a.body = len(body), keep(body)
	return a, body
}

// serveGRPC answers an Export over gRPC.
func serveGRPC(b *backend, w http.ResponseWriter, r *http.Request) {
	a, body := arrived(r, "gRPC")
	answer, done := b.take(a, body)
	if answer.wait(r.Context()) != nil {
		return
	}
	defer done()
	if answer.drop {
		drop(r)
	}
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	if answer.code == codes.OK {
		if _, err := w.Write(frame(false, answer.body)); err != nil {
			return // the caller has gone
		}
	}
	st := answer.grpcStatus()
	h.Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(int(answer.code)))
	if st.Message != "" {
		h.Set(http.TrailerPrefix+"Grpc-Message", st.Message)
	}
	if len(st.Details) > 0 {
		h.Set(http.TrailerPrefix+"Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(encode(st)))
	}
	if answer.code != codes.OK {
		w.WriteHeader(http.StatusOK)
	}
}

// serveHTTP answers an Export over HTTP.
func serveHTTP(b *backend, w http.ResponseWriter, r *http.Request) {
	a, body := arrived(r, "HTTP")
	answer, done := b.take(a, body)
	if answer.wait(r.Context()) != nil {
		return
	}
	defer done()
	if answer.drop {
		drop(r)
	}
	h := w.Header()
	for k, v := range answer.header {
		h[k] = v
	}
	contentType := r.Header.Get("Content-Type")
	h.Set("Content-Type", contentType)
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	out := answer.body
	if answer.status >= 300 && out == nil {
		st := reply{code: codes.Unknown}.grpcStatus()
		if out = encode(st); contentType == jsonType {
			out = []byte(`{"code":2,"message":"answered by the conformance suite's script"}`)
		}
	} else if out == nil && contentType == jsonType {
		out = []byte("{}")
	}
	h.Set("Content-Length", strconv.Itoa(len(out)))
	w.WriteHeader(answer.status)
	_, _ = w.Write(out) // a caller who has gone sends again
}
