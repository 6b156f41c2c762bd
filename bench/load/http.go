package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// maxReply is of an answer what is read.
const maxReply = 64 << 10

// httpSender speaks OTLP/HTTP with protobuf bodies, HTTP/1.1: a connection for
// each request in flight.
type httpSender struct {
	client   *http.Client
	url      string
	encoding string        // of Content-Encoding; empty: none
	encoder  codec.Encoder // nil: none
	buffers  sync.Pool     // of *[]byte, compressed bodies
}

func newHTTP(o Options, sig otlp.Signal) (*httpSender, error) {
	t := &http.Transport{MaxConnsPerHost: o.Clients, MaxIdleConnsPerHost: o.Clients, DisableCompression: true}
	if o.Clients <= few {
		t.WriteBufferSize = 64 << 10
	}
	s := &httpSender{
		client:  &http.Client{Transport: t},
		url:     "http://" + o.Target + "/v1/" + sig.String(),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
	if o.Compression == "none" {
		return s, nil
	}
	s.encoding = o.Compression
	var err error
	s.encoder, err = codec.NewEncoder(o.Compression, 0)
	return s, err
}

func (s *httpSender) close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s *httpSender) send(ctx context.Context, frame *grpcwire.Frame, tenant string) error {
	// Of a request that was not answered by success the transport may still read:
	// then its memory is left to the garbage collector.
	done := frame.Free
	body := frame.Data[0].ReadOnlyData() // the generator's own buffer, in one piece
	if s.encoder != nil {
		buf := s.buffers.Get().(*[]byte)
		out, err := s.encoder.Append((*buf)[:0], body)
		if err != nil {
			return err
		}
		body = out
		done = func() {
			frame.Free()
			*buf = out
			s.buffers.Put(buf)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if s.encoding != "" {
		req.Header.Set("Content-Encoding", s.encoding)
	}
	if tenant != "" {
		req.Header.Set("X-Scope-OrgID", tenant)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %.200q", s.url, resp.Status, reply)
	}
	done()
	return accepted(reply)
}
