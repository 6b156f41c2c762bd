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

// form is how a request is written, and its answer too.
type form uint8

const (
	formProtobuf form = iota
	formJSON
	formWeb     // gRPC-Web
	formWebText // the same in base64
)

// readable refuses what cannot be read at all: method, content type, encoding.
// web is for the paths of gRPC.
func readable(r *http.Request, web bool) (f form, _ *otlp.Refusal) {
	if r.Method != http.MethodPost {
		return f, otlp.Refuse(otlp.ReasonMethodNotAllowed, nil, "method %s: OTLP requests are POST", r.Method)
	}
	if web {
		return readableWeb(r)
	}
	switch mediaType(r) {
	case typeProtobuf:
	case typeJSON:
		f = formJSON
	default:
		return f, otlp.Refuse(otlp.ReasonUnsupportedMediaType, nil, "Content-Type is %q: want %s or %s", r.Header.Get("Content-Type"), typeProtobuf, typeJSON)
	}
	if e := contentEncoding(r); !codec.Known(e) {
		return f, otlp.Refuse(otlp.ReasonUnsupportedEncoding, nil, "Content-Encoding is %q: want one of %s", e, offered)
	}
	return f, nil
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

// succeed answers in the form of the request.
func succeed(w http.ResponseWriter, r *http.Request, f form, s otlp.Signal, rejected int64, why string) {
	switch f {
	case formJSON:
		reply(w, r, typeJSON, http.StatusOK, otlp.AppendResponseJSON(nil, s, rejected, why))
	case formWeb, formWebText:
		succeedWeb(w, r, f, otlp.AppendResponse(nil, s, rejected, why))
	default:
		reply(w, r, typeProtobuf, http.StatusOK, otlp.AppendResponse(nil, s, rejected, why))
	}
}

// refuse answers with a Status body in the request's content type, and a call of
// gRPC-Web with trailers.
func refuse(w http.ResponseWriter, r *http.Request, refusal *otlp.Refusal) {
	if f, web := webForm(mediaType(r)); web && r.Method == http.MethodPost {
		refuseWeb(w, r, f, refusal)
		return
	}
	code, after := refusal.HTTPStatus()
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	switch refusal.Reason {
	case otlp.ReasonUnauthenticated: // RFC 9110, 15.5.2
		w.Header().Set("WWW-Authenticate", `Bearer realm="penstock"`)
	case otlp.ReasonMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case otlp.ReasonUnsupportedMediaType: // RFC 9110, 15.5.16
		w.Header().Set("Accept", acceptable(r))
	case otlp.ReasonUnsupportedEncoding:
		w.Header().Set("Accept-Encoding", offered)
	}
	if mediaType(r) == typeProtobuf {
		reply(w, r, typeProtobuf, code, otlp.AppendStatus(nil, refusal))
		return
	}
	reply(w, r, typeJSON, code, otlp.AppendStatusJSON(nil, refusal)) // a person with curl reads it too
}

// acceptable are the content types that the path takes.
func acceptable(r *http.Request) string {
	if strings.HasSuffix(r.URL.Path, "/Export") {
		return typeWeb + ", " + typeWebText
	}
	return typeProtobuf + ", " + typeJSON
}

// reply writes an answer, with gzip where the client takes that and it is worth
// it (OTLP 1.11, "OTLP/HTTP Response").
func reply(w http.ResponseWriter, r *http.Request, contentType string, code int, b []byte) {
	h := w.Header()
	if len(b) >= minGzipAnswer {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			b = gzipped(h, b)
		}
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if _, err := w.Write(b); err != nil {
		return // the client has gone: it will send again
	}
}
