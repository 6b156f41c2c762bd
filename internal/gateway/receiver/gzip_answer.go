package receiver

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-otel/penstock/pkg/codec"
)

// minGzipAnswer is the least answer that is compressed: below it the result is
// no smaller by more than its headers. A success has no body at all.
const minGzipAnswer = 256

var gzipEncoder = sync.OnceValues(func() (codec.Encoder, error) { return codec.NewEncoder(codec.Gzip, 0) })

// gzipped is b compressed, with its header; b itself where that fails, which is
// an answer as good.
func gzipped(h http.Header, b []byte) []byte {
	e, err := gzipEncoder()
	if err != nil {
		return b
	}
	out, err := e.Append(nil, b)
	if err != nil {
		return b
	}
	h.Set("Content-Encoding", codec.Gzip)
	return out
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3): gzip where it is listed,
// else as * says; q=0 is no. What cannot be read is no either.
func acceptsGzip(fields []string) bool {
	every := false
	for _, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			name, params, _ := strings.Cut(part, ";")
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"):
				return wanted(params)
			case name == "*":
				every = wanted(params)
			}
		}
	}
	return every
}

// wanted is false for a weight of 0, or one that is none.
func wanted(params string) bool {
	params = strings.TrimSpace(params)
	if params == "" {
		return true
	}
	name, value, ok := strings.Cut(params, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return false
	}
	value = strings.TrimSpace(value)
	q, err := strconv.ParseFloat(value, 64)
	return err == nil && len(value) <= len("0.000") && strings.Trim(value, "0123456789.") == "" && q > 0 && q <= 1
}
