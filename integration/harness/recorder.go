package harness

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Recorder stands between a client and the gateway and keeps what the client
// sent, so that it can be held against what arrived. Over gRPC it hands on each
// request as bytes, over HTTP each request as it is, headers and all.
type Recorder struct {
	GRPCAddr, HTTPAddr string

	mu     sync.Mutex // guards everything below
	bodies []Body
}

// NewRecorder forwards to the gateway's addresses until the test ends. gzip says
// that requests over gRPC are handed on compressed.
func NewRecorder(t testing.TB, grpcAddr, httpAddr string, gzip bool) *Recorder {
	t.Helper()
	r := &Recorder{GRPCAddr: FreeAddr(t), HTTPAddr: FreeAddr(t)}
	conn := dial(t, grpcAddr)
	var o []grpc.CallOption
	if gzip {
		o = append(o, grpc.UseCompressor("gzip"))
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.WaitForHandlers(true))
	serveRaw(server, func(ctx context.Context, sig otlp.Signal, body []byte) ([]byte, error) {
		r.note(sig, body)
		var reply []byte
		err := conn.Invoke(ctx, method(sig), &body, &reply, o...)
		return reply, err
	})
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: httpAddr})
	transport := &http.Transport{DisableCompression: true}
	proxy.Transport = transport
	h := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		whole, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(whole))
		if sig, err := otlp.ParseSignal(strings.TrimPrefix(req.URL.Path, "/v1/")); err == nil {
			body, err := readBody(req)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.note(sig, body)
		}
		req.Body = io.NopCloser(bytes.NewReader(whole))
		proxy.ServeHTTP(w, req)
	})}
	var wg sync.WaitGroup
	for addr, serve := range map[string]func(net.Listener) error{r.GRPCAddr: server.Serve, r.HTTPAddr: h.Serve} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := serve(l); err != nil && err != http.ErrServerClosed {
				t.Errorf("recorder at %s: %v", addr, err)
			}
		})
	}
	t.Cleanup(func() {
		server.Stop()
		h.Close()
		wg.Wait()
		conn.Close()
		transport.CloseIdleConnections()
	})
	return r
}

func (r *Recorder) note(sig otlp.Signal, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, Body{sig, body})
}

// Bodies are the requests that clients sent so far.
func (r *Recorder) Bodies() []Body {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies[:len(r.bodies):len(r.bodies)]
}
