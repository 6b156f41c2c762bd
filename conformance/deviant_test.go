package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// deviant is an endpoint that takes part in OTLP and keeps few of its rules.
type deviant struct {
	addr    string
	export  func(method string, header http.Header, body []byte) // nil: nothing is forwarded
	running sync.WaitGroup
}

func newDeviant(t *testing.T) *deviant {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deviant{addr: l.Addr().String()}
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: d, Protocols: &p, ReadHeaderTimeout: time.Minute}
	d.running.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = srv.Close()
		d.running.Wait()
	})
	return d
}

// ServeHTTP takes whatever comes over gRPC; over HTTP what begins like a request,
// and the rest it refuses in plain text.
func (d *deviant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	contentType := r.Header.Get("Content-Type")
	w.Header().Set("Content-Type", contentType)
	if contentType == "application/grpc" {
		d.forward(r, body)
		_, _ = w.Write(frame(false, nil))
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		return
	}
	if len(body) > 0 && body[0] != '\n' && body[0] != '{' && r.Header.Get("Content-Encoding") == "" {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	d.forward(r, body)
	if contentType == jsonType {
		_, _ = io.WriteString(w, `{"partialSuccess":{}}`)
	}
}

func (d *deviant) forward(r *http.Request, body []byte) {
	if d.export != nil {
		header := r.Header.Clone()
		d.running.Go(func() { d.export(r.URL.Path, header, body) })
	}
}

// outcomes runs some rows.
func outcomes(t *testing.T, c Config) map[string]*Result {
	t.Helper()
	c.Timeout, c.MaxRequestBytes = 10*time.Second, 64<<10
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]*Result{}
	for i := range report.Rows {
		byID[report.Rows[i].ID] = &report.Rows[i]
	}
	return byID
}

func wantOutcomes(t *testing.T, got map[string]*Result, want map[string]Outcome) {
	t.Helper()
	for id, o := range want {
		if r := got[id]; r == nil || r.Outcome != o {
			t.Errorf("row %s: %+v, want %s", id, r, o)
		}
	}
}

func TestServerThatDeviatesIsFound(t *testing.T) {
	d := newDeviant(t)
	got := outcomes(t, Config{GRPC: d.addr, HTTP: "http://" + d.addr, Rows: []string{"T", "G", "H", "J", "X"}})
	wantOutcomes(t, got, map[string]Outcome{
		"T1": Pass, "G1": Pass, "G2": Fail, "G3": Fail, "G5": Pass, "G6": Pass, "G7": NotApplicable, "G10": NotApplicable, "G11": Fail,
		"H1": Pass, "H2": Fail, "H4": Fail, "H5": Fail, "H7": Fail, "H9": Fail, "H10": Fail, "H14": Pass,
		"J1": Fail, "J2": Fail, "J4": NotApplicable, "X1": Note, "X5": NotApplicable, "X8": Note,
	})
	for id, r := range got {
		for _, c := range r.Cases {
			if c.Outcome == Fail && (c.Expected == "" || c.Seen == "") {
				t.Errorf("row %s, %s: fails without a word on what was expected and seen", id, c.Name)
			}
		}
	}
}

// exporter forwards what a deviant takes to a backend, as it came, over TLS unless
// secure is nil: up to tries times, without a wait and whatever is answered, or
// until it is taken.
func exporter(t *testing.T, to string, secure *tls.Config, tries int, untilTaken bool) func(string, http.Header, []byte) {
	h1, h2, scheme := newHTTP(secure, false), newH2(secure), "http://"
	if secure != nil {
		scheme = "https://"
	}
	t.Cleanup(h1.CloseIdleConnections)
	t.Cleanup(h2.CloseIdleConnections)
	send := func(req *http.Request) (taken bool) {
		if req.Header.Get("Content-Type") != "application/grpc" {
			a, err := readHTTP(h1.RoundTrip(req))
			return err == nil && a.status == http.StatusOK
		}
		req.Header.Set("Te", "trailers")
		a, err := readGRPC(h2.RoundTrip(req))
		return err == nil && a.code == 0
	}
	return func(path string, header http.Header, body []byte) {
		for range tries {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+to+path, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
			}
			req.Header.Set("Content-Type", header.Get("Content-Type"))
			taken := send(req)
			cancel()
			if untilTaken && taken {
				return
			}
		}
	}
}

// freeAddr is an address on which a backend can listen.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestClientThatDeviatesIsFound(t *testing.T) {
	rows := []string{"C1", "C2", "C3", "C4", "C5", "C6", "C7"}
	for _, x := range []struct {
		name       string
		tries      int
		untilTaken bool
		want       map[string]Outcome
	}{
		{"never sends again", 1, true, map[string]Outcome{"C1": Fail, "C2": Fail, "C3": Pass, "C4": Fail, "C5": Fail, "C6": Pass, "C7": Pass}},
		{"always sends again, at once", 20, true, map[string]Outcome{"C1": Pass, "C2": Fail, "C3": Fail, "C4": Fail, "C5": Fail, "C6": Pass}},
		{"sends everything twice", 2, false, map[string]Outcome{"C3": Fail, "C6": Fail}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			d := newDeviant(t)
			backend := freeAddr(t)
			d.export = exporter(t, backend, nil, x.tries, x.untilTaken)
			got := outcomes(t, Config{GRPC: d.addr, BackendGRPC: backend, Rows: rows, Patience: 2 * time.Second, Quiet: 300 * time.Millisecond})
			wantOutcomes(t, got, x.want)
		})
	}
}

// mute accepts connections and says nothing.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

func TestMuteEndpointEndsTheRun(t *testing.T) {
	addr := mute(t)
	for _, c := range []Config{{GRPC: addr}, {HTTP: "http://" + addr}} {
		c.Timeout = 50 * time.Millisecond
		if r, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// An endpoint that has fallen silent is asked a few times, and no more.
func TestEndpointThatFallsSilentEndsTheRun(t *testing.T) {
	s := newSuite(Config{HTTP: "http://" + mute(t), Timeout: 20 * time.Millisecond})
	defer s.close()
	for i := range 20 {
		_, err := s.post(t.Context(), s.signals[0], protobufType, "", nil)
		if asked := !strings.Contains(err.Error(), "not sent"); asked != (i < maxSilences) {
			t.Errorf("request %d: asked %t: %v", i, asked, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, c := range map[string]Config{
		"no endpoint":               {},
		`URL is "127.0.0.1:4318"`:   {HTTP: "127.0.0.1:4318"},
		`signal "profiles"`:         {GRPC: "x:1", Signals: []string{"profiles"}},
		`row "Q7"`:                  {GRPC: "x:1", Rows: []string{"Q7"}},
		"64 KiB to 1 GiB":           {GRPC: "x:1", MaxRequestBytes: 1},
		"connect: connection refus": {GRPC: "127.0.0.1:1"},
		"and no backend":            {GRPC: "x:1", BackendTLS: &tls.Config{}},
		"has no certificate":        {GRPC: "x:1", BackendGRPC: "127.0.0.1:0", BackendTLS: &tls.Config{}},
	} {
		if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
}

// An answer without an end, and one that is noise, are read as far as answers go.
func TestAnswersAreBounded(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			_, _ = io.Copy(w, repeat{}) // until the suite has had enough
		},
		"noise": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Encoding", "gzip")
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Grpc-Status-Details-Bin", "!")
			_, _ = w.Write([]byte("\x01\x00\x00\x00\x04\xff\xff\xff\xff"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(answer)
			srv.Config.Protocols = new(http.Protocols)
			srv.Config.Protocols.SetHTTP1(true)
			srv.Config.Protocols.SetUnencryptedHTTP2(true)
			srv.Start()
			defer srv.Close()
			s := newSuite(Config{GRPC: srv.Listener.Addr().String(), HTTP: srv.URL, Timeout: 20 * time.Second})
			defer s.close()
			sig := s.signals[0]
			if a, err := s.call(t.Context(), sig, "", nil); err == nil {
				t.Errorf("gRPC: taken for an answer: %s", a)
			}
			if a, err := s.post(t.Context(), sig, protobufType, "", nil); err == nil {
				t.Errorf("HTTP: taken for an answer: %s of %d bytes", a, len(a.body))
			}
		})
	}
}
