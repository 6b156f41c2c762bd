package send_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/send"
)

// TestSaysWhatTheServerSays wants the message of an HTTP answer as text, final or
// not, whichever form the server gives it.
func TestSaysWhatTheServerSays(t *testing.T) {
	packed := func(message string) string {
		b, err := proto.Marshal(&spb.Status{Code: 16, Message: message})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	f := func(code int, contentType, body, want string) {
		t.Helper()
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body) // the client notices
		}))
		defer h.Close()
		var told string
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		c := config(func(c *send.Config) {
			c.Protocol, c.Target, c.Items, c.Clients, c.Patience = "http", h.URL, 1, 1, time.Hour
			c.Signals = c.Signals[:1]
			c.OnRetry = func(err error) { told = err.Error(); stop() }
		})
		err := send.Run(ctx, c, new(send.Totals))
		if code == http.StatusTooManyRequests {
			err = errors.New(told)
		}
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%d %s %q: %v, want it to end in %q", code, contentType, body, err, want)
		}
	}
	f(401, "application/x-protobuf", packed("missing: a credential is needed"), "HTTP 401 Unauthorized: missing: a credential is needed")
	f(429, "application/x-protobuf", packed("tenant a has spent its 5 items a second"), "HTTP 429 Too Many Requests: tenant a has spent its 5 items a second")
	f(403, "application/json", `{"code":7,"message":"not you"}`, `HTTP 403 Forbidden: {"code":7,"message":"not you"}`)
	f(400, "text/plain; charset=utf-8", "what\x1b[31m is this\n", `HTTP 400 Bad Request: what\x1b[31m is this`)
	f(400, "application/x-protobuf", packed(strings.Repeat("ü", 1000)), strings.Repeat("ü", 500)+"…")
	f(400, "application/x-protobuf", "\x12\xffnonsense", `HTTP 400 Bad Request: \x12\xffnonsense`)
	f(404, "text/html", "", "HTTP 404 Not Found")
}
