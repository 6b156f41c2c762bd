package credential

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is a real token endpoint.
type issuer struct {
	*httptest.Server

	mu     sync.Mutex
	forms  []url.Values
	basic  []string
	answer func(n int, w http.ResponseWriter) // n-th request, from 1
	hold   chan struct{}                      // unless nil, requests wait until it is closed
}

func serve(t *testing.T, overTLS bool) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if overTLS {
		i.StartTLS()
	} else {
		i.Start()
	}
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	user, password, _ := r.BasicAuth()
	i.mu.Lock()
	i.forms = append(i.forms, r.PostForm)
	i.basic = append(i.basic, user+":"+password)
	n, answer, hold := len(i.forms), i.answer, i.hold
	i.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if answer == nil {
		answer = tokens(3600)
	}
	answer(n, w)
}

func (i *issuer) set(answer func(int, http.ResponseWriter)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

func (i *issuer) asked() int { i.mu.Lock(); defer i.mu.Unlock(); return len(i.forms) }

// tokens numbers them; they live so many seconds, 0 for no word of it.
func tokens(life int) func(int, http.ResponseWriter) {
	return func(n int, w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		expires := ""
		if life != 0 {
			expires = fmt.Sprintf(`,"expires_in":%d`, life)
		}
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer"%s}`, n, expires)
	}
}

func says(code int, kind, body string, headers ...string) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) {
		w.Header().Set("Content-Type", kind)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

const secret = "hunter2+hunter2/hunter2"

// login is the configuration for the endpoint.
func (i *issuer) login(edit ...func(*OAuth2)) Config {
	c := DefaultConfig()
	c.OAuth2.TokenURL, c.OAuth2.ClientID, c.OAuth2.ClientSecret, c.OAuth2.AuthStyle = i.URL+"/token", "penstock", secret, StyleHeader
	for _, e := range edit {
		e(&c.OAuth2)
	}
	return c
}

// clock can be moved on.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return time.Now().Add(c.ahead) }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// open makes the source, whose clock can be moved on.
func open(t *testing.T, c Config, o Options) (*source, *clock) {
	t.Helper()
	if err := config.Validate(c); err != nil {
		t.Fatal(err)
	}
	made, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*source)
	k := &clock{}
	s.now = k.now
	t.Cleanup(s.Close)
	return s, k
}

func want(t *testing.T, c outgoing.Credential, want string) {
	t.Helper()
	if got, err := c.Authorization(t.Context()); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), ".new")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

func metrics() (*Metrics, *prometheus.Registry) {
	reg := prometheus.NewPedanticRegistry()
	return NewMetrics(reg), reg
}

// text is a log that may be read while it is written.
type text struct {
	mu sync.Mutex
	b  []byte
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *text) String() string { l.mu.Lock(); defer l.mu.Unlock(); return string(l.b) }

func (l *text) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
