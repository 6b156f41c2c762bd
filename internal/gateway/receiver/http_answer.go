package receiver

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Content types of OTLP/HTTP.
const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// offered are the content codings, as Accept-Encoding lists them.
var offered = strings.Join(codec.ContentEncodings(), ", ")

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
		return isJSON, otlp.Refuse(otlp.ReasonUnsupportedEncoding, nil, "Content-Encoding is %q: want one of %s", e, offered)
	}
	return isJSON, nil
}

func mediaType(r *http.Request) string {
	switch t := r.Header.Get("Content-Type"); t {
	case typeProtobuf, typeJSON: // nearly always, without the work below
		return t
	default:
		t, _, err := mime.ParseMediaType(t)
		if err != nil {
			return ""
		}
		return t
	}
}

// contentEncoding is the coding of the body. Several codings on top of each
// other are one that is not known.
func contentEncoding(r *http.Request) string {
	switch v := r.Header.Values("Content-Encoding"); len(v) {
	case 0:
		return ""
	case 1:
		return strings.ToLower(strings.TrimSpace(v[0]))
	default:
		return strings.Join(v, ", ")
	}
}

// refuse answers with a Status body in the request's content type.
func refuse(w http.ResponseWriter, r *http.Request, refusal *otlp.Refusal) {
	code, after := refusal.HTTPStatus()
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	switch refusal.Reason {
	case otlp.ReasonMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case otlp.ReasonUnsupportedMediaType: // RFC 9110, 15.5.16
		w.Header().Set("Accept", typeProtobuf+", "+typeJSON)
	case otlp.ReasonUnsupportedEncoding:
		w.Header().Set("Accept-Encoding", offered)
	}
	if mediaType(r) == typeProtobuf {
		reply(w, typeProtobuf, code, otlp.AppendStatus(nil, refusal))
		return
	}
	reply(w, typeJSON, code, otlp.AppendStatusJSON(nil, refusal)) // a person with curl reads it too
}

func reply(w http.ResponseWriter, contentType string, code int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if _, err := w.Write(b); err != nil {
		return // the client has gone: it will send again
	}
}
