package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Content types of OTLP/HTTP.
const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// jsonGrowth is charged for a JSON body while it is decoded: the decoder's
// objects and the protobuf encoding beside the text.
const jsonGrowth = 4

// HTTPConfig of the OTLP/HTTP listener.
type HTTPConfig struct {
	Listen      string           `yaml:"listen" help:"Address of the OTLP/HTTP listener, HTTP/1.1 and HTTP/2. Empty: none."`
	TLS         config.TLSServer `yaml:"tls"`
	ReadTimeout config.Duration  `yaml:"read_timeout" help:"A request must have arrived whole within this time."`
	IdleTimeout config.Duration  `yaml:"idle_timeout" help:"A connection without a request is closed after this time."`
}

// DefaultHTTP listens on loopback.
func DefaultHTTP() HTTPConfig {
	return HTTPConfig{Listen: "127.0.0.1:4318", ReadTimeout: config.Duration(time.Minute), IdleTimeout: config.Duration(2 * time.Minute)}
}

// Validate answers in the user's keys.
func (c HTTPConfig) Validate() error {
	if c.ReadTimeout <= 0 || c.IdleTimeout <= 0 {
		return fmt.Errorf("read_timeout is %s and idle_timeout is %s: want more than 0s, slow clients must end", c.ReadTimeout, c.IdleTimeout)
	}
	return nil
}

// HTTP is the OTLP/HTTP server.
type HTTP struct {
	intake *Intake
	server *http.Server
	listen net.Listener
	pool   mem.BufferPool
}

// NewHTTP listens at once, so that a taken port is an error at the start.
func NewHTTP(ctx context.Context, c HTTPConfig, in *Intake, tlsConfig *tls.Config, log *slog.Logger) (*HTTP, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for OTLP/HTTP on gateway.http.listen: %w", err)
	}
	h := &HTTP{intake: in, listen: l, pool: mem.NewTieredBufferPool(4<<10, 32<<10, 256<<10, 1<<20+4<<10, 4<<20, 16<<20)}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	h.server = &http.Server{
		Handler: h.routes(), Protocols: &protocols, TLSConfig: tlsConfig,
		ReadTimeout: time.Duration(c.ReadTimeout), ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout: time.Duration(c.IdleTimeout), MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of connections, at the client's pleasure
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 250, MaxReceiveBufferPerConnection: connWindow, MaxReceiveBufferPerStream: streamWindow},
	}
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
		return errors.Join(errors.New("OTLP/HTTP requests were cut before their answer: their clients will send again"), h.server.Close())
	}
	return nil
}

func (h *HTTP) routes() http.Handler {
	mux := http.NewServeMux()
	for _, s := range otlp.Signals {
		mux.HandleFunc("/v1/"+s.String(), func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, s) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.refuse(w, r, otlp.Refuse(otlp.ReasonNotFound, nil, "no OTLP endpoint at this path: use /v1/traces, /v1/metrics or /v1/logs"))
	})
	return mux
}

// serve is one request of a signal.
func (h *HTTP) serve(w http.ResponseWriter, r *http.Request, s otlp.Signal) {
	in := h.intake
	isJSON, refusal := readable(r)
	if refusal == nil {
		refusal = in.admit()
	}
	if refusal != nil {
		h.refuse(w, r, in.refused(s, transportHTTP, 0, refusal))
		return
	}
	held := claim{a: &in.admission}
	defer held.release()
	raw, packed := body{pool: h.pool}, body{pool: h.pool}
	defer raw.free() // when not given back earlier
	payload, refusal := h.payload(r, &raw, &packed, &held, s, isJSON)
	packed.free()
	if refusal != nil {
		h.refuse(w, r, in.refused(s, transportHTTP, 0, refusal))
		return
	}
	held.shrink(len(payload))
	result, refusal := in.accept(r.Context(), transportHTTP, s, payload, raw.free)
	if refusal != nil {
		h.refuse(w, r, refusal)
		return
	}
	if isJSON {
		reply(w, typeJSON, http.StatusOK, otlp.AppendResponseJSON(nil, s, int64(result.Rejected), result.Why))
		return
	}
	reply(w, typeProtobuf, http.StatusOK, otlp.AppendResponse(nil, s, int64(result.Rejected), result.Why))
}

// readable refuses what cannot be read at all: method, content type, encoding.
func readable(r *http.Request) (isJSON bool, _ *otlp.Refusal) {
	if r.Method != http.MethodPost {
		return false, otlp.Refuse(otlp.ReasonMethodNotAllowed, nil, "method %s: OTLP requests are POST", r.Method)
	}
	switch mediaType(r) {
	case typeProtobuf:
	case typeJSON:
		isJSON = true
	default:
		return false, otlp.Refuse(otlp.ReasonUnsupportedMediaType, nil, "Content-Type is %q: want %s or %s", r.Header.Get("Content-Type"), typeProtobuf, typeJSON)
	}
	if e := contentEncoding(r); !codec.Known(e) {
		return isJSON, otlp.Refuse(otlp.ReasonUnsupportedEncoding, nil, "Content-Encoding is %q: want one of %s", e, strings.Join(codec.ContentEncodings(), ", "))
	}
	return isJSON, nil
}

func mediaType(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

func contentEncoding(r *http.Request) string {
	return strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
}

// payload is the request as protobuf bytes in raw.
func (h *HTTP) payload(r *http.Request, raw, packed *body, held *claim, s otlp.Signal, isJSON bool) ([]byte, *otlp.Refusal) {
	limit := int(h.intake.limits.MaxRequestBytes)
	var payload []byte
	var refusal *otlp.Refusal
	if e := contentEncoding(r); e == "" || e == "identity" {
		payload, refusal = readBody(r, raw, held, limit)
	} else if payload, refusal = readBody(r, packed, held, limit); refusal == nil {
		payload, refusal = inflate(e, payload, raw, held, limit)
	}
	if refusal != nil || !isJSON {
		return payload, refusal
	}
	if refusal := held.grow(held.held + jsonGrowth*len(payload)); refusal != nil {
		return nil, refusal
	}
	encoded, err := otlp.AppendProtoFromJSON(nil, s, payload)
	if err != nil {
		return nil, otlp.AsRefusal(err)
	}
	return encoded, nil
}

// refuse answers with a Status body in the request's content type.
func (h *HTTP) refuse(w http.ResponseWriter, r *http.Request, refusal *otlp.Refusal) {
	code, after := refusal.HTTPStatus()
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	switch refusal.Reason {
	case otlp.ReasonMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case otlp.ReasonUnsupportedEncoding:
		w.Header().Set("Accept-Encoding", strings.Join(codec.ContentEncodings(), ", "))
	}
	if mediaType(r) == typeProtobuf {
		reply(w, typeProtobuf, code, otlp.AppendStatus(nil, refusal))
		return
	}
	reply(w, typeJSON, code, otlp.AppendStatusJSON(nil, refusal)) // a person with curl reads it too
}

func reply(w http.ResponseWriter, contentType string, code int, b []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if _, err := w.Write(b); err != nil {
		return // the client has gone: it will send again
	}
}
