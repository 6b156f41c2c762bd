package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// writeSlack is what an answer may take beside the receipt and the commit of
// its request.
const writeSlack = 10 * time.Second

// HTTP is the OTLP/HTTP server.
type HTTP struct {
	intake *Intake
	server *http.Server
	listen net.Listener
	pool   *grpcwire.MeteredPool
	prefix string // of paths, taken with and without it

	receiving receiving
}

// NewHTTP listens at once, so that a taken port is an error at the start.
func NewHTTP(ctx context.Context, c HTTPConfig, in *Intake, tlsConfig *tls.Config, log *slog.Logger) (*HTTP, error) {
	return newHTTP(ctx, c, in, tlsConfig, log, gatePatience)
}

func newHTTP(ctx context.Context, c HTTPConfig, in *Intake, tlsConfig *tls.Config, log *slog.Logger, patience time.Duration) (*HTTP, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for OTLP/HTTP: %w; change gateway.http.listen", err)
	}
	h := &HTTP{intake: in, listen: in.capped(l, transportHTTP), pool: in.buffers(), prefix: c.PathPrefix}
	in.admission.pressed = func() { h.receiving.end(patience, errPressure) }
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	read := time.Duration(c.ReadTimeout)
	h.server = &http.Server{
		Handler: withCORS(c.CORS, http.HandlerFunc(h.route)), Protocols: &protocols, TLSConfig: tlsConfig,
		ReadTimeout: read, ReadHeaderTimeout: min(read, time.Duration(c.HeaderTimeout)),
		WriteTimeout: read + time.Duration(in.limits.CommitTimeout) + writeSlack,
		IdleTimeout:  time.Duration(c.IdleTimeout), MaxHeaderBytes: int(c.MaxHeaderBytes),
		ConnContext: withAge(time.Duration(c.MaxConnectionAge)),
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of connections, at the client's pleasure
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: c.MaxConcurrentStreams, MaxReceiveBufferPerConnection: connWindow, MaxReceiveBufferPerStream: streamWindow},
	}
	h.server.SetKeepAlivesEnabled(c.KeepAlive)
	return h, nil
}

// Addr is the bound address.
func (h *HTTP) Addr() net.Addr { return h.listen.Addr() }

// Serve answers until Stop.
func (h *HTTP) Serve() error {
	var err error
	if h.server.TLSConfig != nil {
		err = h.server.ServeTLS(h.listen, "", "")
	} else {
		err = h.server.Serve(h.listen)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Stop ends taking and waits for requests in flight, until ctx ends; then it
// cuts what is left.
func (h *HTTP) Stop(ctx context.Context) error {
	if err := h.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("OTLP/HTTP requests were cut before their answer: their clients will send again: %w", err),
			h.server.Close(), closeListener(h.listen))
	}
	return closeListener(h.listen)
}

// route finds the signal of a path, as it is, without redirects: /v1/traces,
// /v1/metrics, /v1/logs, and for gRPC-Web those of the Export methods.
func (h *HTTP) route(w http.ResponseWriter, r *http.Request) {
	endOld(w, r)
	path := strings.TrimPrefix(r.URL.Path, h.prefix)
	if s, ok := webSignal(path); ok {
		h.serveWeb(w, r, s)
		return
	}
	name, ok := strings.CutPrefix(path, "/v1/")
	s, err := otlp.ParseSignal(name)
	if !ok || err != nil {
		refusal := otlp.Refuse(otlp.ReasonNotFound, nil, "no OTLP endpoint at this path: use /v1/traces, /v1/metrics or /v1/logs")
		h.intake.metrics.unknown(transportHTTP, refusal.Reason)
		refuse(w, r, refusal)
		return
	}
	h.serve(w, r, s, false)
}

// serve is one request of a signal. web says that its path is gRPC's.
func (h *HTTP) serve(w http.ResponseWriter, r *http.Request, s otlp.Signal, web bool) {
	f, refusal := readable(r, web)
	if refusal != nil {
		refuse(w, r, h.intake.refused(s, transportHTTP, 0, refusal))
		return
	}
	v, refusal := h.intake.enter(r.Context(), s, transportHTTP, h.knock(r))
	if refusal != nil {
		refuse(w, r, refusal)
		return
	}
	defer v.leave()
	raw := body{pool: h.pool}
	defer raw.free() // unless it is given away
	ended := h.watch(w, r)
	payload, refusal := h.payload(r, &raw, v, f)
	ended()
	if refusal != nil {
		refuse(w, r, v.refused(0, refusal))
		return
	}
	v.held.shrink(len(payload))
	result, refusal := v.accept(r.Context(), payload, raw.give())
	if refusal != nil {
		refuse(w, r, refusal)
		return
	}
	succeed(w, r, f, s, int64(result.Rejected), result.Why)
}

// knock is what the headers and the connection of a request say.
func (h *HTTP) knock(r *http.Request) knock {
	k := knock{listener: "otlp_http", peer: r.RemoteAddr}
	d := &h.intake.Door
	if name := d.header(); name != "" {
		k.tenants = r.Header.Values(name)
	}
	if d.Authenticate == nil {
		return k
	}
	tokens, keys := r.Header.Values("Authorization"), r.Header.Values("X-Api-Key")
	k.doubled = len(tokens) > 1 || len(keys) > 1
	k.Authorization, k.Key, k.Certificate = last(tokens), last(keys), leaf(r.TLS)
	return k
}

// payload is the request as protobuf bytes: in raw, or a slice that the
// collector frees. What else it took is given back, but not the claim on it.
func (h *HTTP) payload(r *http.Request, raw *body, v *visit, f form) ([]byte, *otlp.Refusal) {
	if f >= formWeb {
		return h.webPayload(r, raw, v, f)
	}
	limit, held := v.limit(), &v.held
	if f == formJSON {
		limit = min(limit, h.intake.limits.jsonLimit())
	}
	packed := body{pool: h.pool}
	defer packed.free()
	var payload []byte
	var refusal *otlp.Refusal
	if e := contentEncoding(r); plain(e) {
		payload, refusal = readBody(r, raw, held, limit)
	} else if payload, refusal = readBody(r, &packed, held, limit); refusal == nil {
		payload, refusal = v.inflate(r.Context(), e, payload, raw, limit)
		packed.free()
	}
	if f != formJSON {
		return payload, refusal
	}
	if refusal != nil {
		if limit < v.limit() {
			refusal = h.intake.limits.jsonRefusal(refusal)
		}
		return nil, refusal
	}
	defer raw.free()
	if len(payload) > largeText {
		if r := v.large(r.Context()); r != nil {
			return nil, r
		}
	}
	return fromJSON(v.signal, payload, held)
}

func plain(encoding string) bool {
	c, ok := codec.Canonical(encoding)
	return ok && c == codec.None
}
