package rolecmd

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/admin"
)

// TestPlainHTTPToATLSPort is told to say https, by what a real server answers.
func TestPlainHTTPToATLSPort(t *testing.T) {
	h := httptest.NewUnstartedServer(http.NotFoundHandler())
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	defer h.Close()
	addr := strings.TrimPrefix(h.URL, "https://")
	_, err := admin.Get(t.Context(), addr, "/api/v1/status")
	if err == nil {
		t.Fatal("no error")
	}
	if text := Explain(err).Error(); !strings.Contains(text, "HTTPS") || !strings.Contains(text, "Say --admin https://"+addr) {
		t.Errorf("got %q", text)
	}
	if text := Explain(&admin.StatusError{URL: "http://a:1/x", Code: 400, Body: "bad"}).Error(); strings.Contains(text, "https") {
		t.Errorf("got %q", text)
	}
}
