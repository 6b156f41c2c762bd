package receiver

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Trailers of gRPC, which gRPC-Web sends in lower case in a frame of the body.
const (
	headerGRPCStatus  = "grpc-status"
	headerGRPCMessage = "grpc-message"
	headerGRPCDetails = "grpc-status-details-bin"
)

// succeedWeb answers with the response message and trailers of status 0.
func succeedWeb(w http.ResponseWriter, r *http.Request, f form, message []byte) {
	b := appendWebFrame(make([]byte, 0, 64+len(message)), 0, message)
	replyWeb(w, r, f, appendWebFrame(b, webTrailers, []byte(headerGRPCStatus+":0\r\n")))
}

// refuseWeb answers with trailers alone, and status 200: the call was carried,
// and its end says the rest.
func refuseWeb(w http.ResponseWriter, r *http.Request, f form, refusal *otlp.Refusal) {
	if refusal.Reason == otlp.ReasonUnsupportedEncoding {
		w.Header().Set("Grpc-Accept-Encoding", webOffered)
	}
	st := refusal.GRPCStatus().Proto()
	t := appendTrailer(nil, headerGRPCStatus, strconv.Itoa(int(st.GetCode())))
	t = appendTrailer(t, headerGRPCMessage, percentEncoded(st.GetMessage()))
	if len(st.GetDetails()) > 0 {
		t = appendTrailer(t, headerGRPCDetails, base64.RawStdEncoding.EncodeToString(otlp.AppendStatus(nil, refusal)))
	}
	replyWeb(w, r, f, appendWebFrame(nil, webTrailers, t))
}

// replyWeb answers in the form of the request.
func replyWeb(w http.ResponseWriter, r *http.Request, f form, b []byte) {
	if f == formWebText {
		b = base64.StdEncoding.AppendEncode(nil, b)
	}
	reply(w, r, mediaType(r), http.StatusOK, b)
}

func appendWebFrame(dst []byte, flags byte, data []byte) []byte {
	dst = append(dst, flags)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	return append(dst, data...)
}

func appendTrailer(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ':')
	return append(append(dst, value...), "\r\n"...)
}

// percentEncoded is the form of grpc-message: bytes outside of 0x20 to 0x7e, and
// %, as %XX. Nothing of a message can end its line.
func percentEncoded(s string) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '%' {
			out = append(out, '%', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
