package credential

import (
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// What an endpoint says is told with its host and without the secret, in whatever
// form it repeats that.
func TestWordsOfAnEndpoint(t *testing.T) {
	f := func(answer func(int, http.ResponseWriter), says ...string) {
		t.Helper()
		i := serve(t, false)
		i.set(answer)
		s, _ := open(t, i.login(func(o *OAuth2) { o.Params = []config.NameValue{{Name: "assertion", Value: "s3cret-param"}} }), Options{})
		_, err := s.Authorization(t.Context())
		if err == nil {
			t.Errorf("no error, want %q", says)
			return
		}
		for _, w := range append(says, strings.TrimPrefix(i.URL, "http://")) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v does not say %q", err, w)
			}
		}
		basic := base64.StdEncoding.EncodeToString([]byte("penstock:hunter2%2Bhunter2%2Fhunter2"))
		for _, hidden := range []string{secret, "hunter2%2B", basic, "s3cret-param", "/token", "abc.def"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%v shows %q", err, hidden)
			}
		}
		if len(err.Error()) > 700 || strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Errorf("%d bytes: %q", len(err.Error()), err)
		}
	}
	const json = "application/json"
	f(says(401, json, `{"error":"invalid_client","error_description":"no `+secret+`"}`), "401 Unauthorized: invalid_client: no ***", "see to client_id and client_secret")
	f(says(400, json, `{"error":"invalid_scope"}`), "400 Bad Request: invalid_scope")
	f(says(200, json, `{"error":"invalid_grant"}`), "200 OK: invalid_grant")
	f(says(500, "text/html", "<h1>\x1b[31mout\r\n of order</h1> hunter2%2Bhunter2%2Fhunter2 s3cret-param"), "500 Internal Server Error: <h1>[31mout of order</h1> *** ***")
	f(says(500, "text/plain", "cGVuc3RvY2s6aHVudGVyMiUyQmh1bnRlcjIlMkZodW50ZXIy"), "500 Internal Server Error: ***")
	f(says(503, "text/plain", strings.Repeat("x", 1<<20)), "503 Service Unavailable: xxx", "…")
	f(says(503, "text/plain", "\xff\xfe"), "503")
	f(says(302, "text/plain", "", "Location", "http://elsewhere/token"), "302 Found: redirects are not followed")
	f(says(307, "text/plain", "", "Location", "http://elsewhere/token"), "307", "redirects are not followed")
	f(says(200, json, `{"access_token":"abc.def`), "cannot parse json")
	f(says(200, json, `{}`), "missing access_token")
	f(says(200, json, `{"access_token":"abc.def","token_type":"mac"}`), `of type "MAC": want Bearer`)
	f(says(200, json, `{"access_token":"abc.def","expires_in":-5}`), "has expired already")
	f(says(200, json, `{"access_token":"abc.def\r\nX-Evil: 1"}`), "has a space or a character that no header may have")
	f(says(200, json, `{"access_token":"`+strings.Repeat("a", maxSecret+1)+`"}`), "has 32769 bytes")
	f(func(_ int, w http.ResponseWriter) { panic(http.ErrAbortHandler) }, "EOF")
}

func TestEndpointThatCannotBeReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // its backlog takes connections, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := func(url string, says string) {
		t.Helper()
		c := DefaultConfig()
		c.OAuth2.TokenURL, c.OAuth2.ClientID, c.OAuth2.ClientSecret, c.OAuth2.Timeout = url, "a", secret, config.Duration(200*time.Millisecond)
		s, _ := open(t, c, Options{})
		if _, err := s.Authorization(t.Context()); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "/token") {
			t.Errorf("%v, want %q", err, says)
		}
	}
	f("http://127.0.0.1:1/token", "token endpoint 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused")
	f("http://"+l.Addr().String()+"/token", "token endpoint "+l.Addr().String()+" did not answer within 200ms")
}
