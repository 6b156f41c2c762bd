package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const userAgent = "otlp-conformance/1"

// maxSilences is after how many exchanges in a row without any answer an
// endpoint is taken to be gone: what remains fails at once, so that the run
// ends.
const maxSilences = 6

// Header of every request to the endpoint.
type Header struct{ Name, Value string }

// Config of a run. At least one of GRPC and HTTP is needed.
type Config struct {
	GRPC string      // host:port of the endpoint
	HTTP string      // base URL, to which /v1/traces is added
	TLS  *tls.Config // for gRPC, and for an https URL; nil: gRPC is plaintext
	// Header goes with every request, for endpoints that want credentials.
	Header []Header
	// Signals to ask for, of SignalNames; none: all.
	Signals []string
	// Rows to run, by id or its letters; none: all.
	Rows []string
	// Timeout bounds each exchange with the endpoint. Default 20 s.
	Timeout time.Duration
	// MaxRequestBytes is the endpoint's limit on requests. Default 64 MiB, which
	// the specification recommends.
	MaxRequestBytes int64
	// BackendGRPC and BackendHTTP are addresses to listen on, to which the
	// endpoint has been configured to export.
	BackendGRPC, BackendHTTP string
	// BackendTLS has the certificate of the backends; nil: they speak plain text.
	// It goes with at least one of their addresses.
	BackendTLS *tls.Config
	// Patience is how long something that has to arrive is waited for. Default
	// 60 s.
	Patience time.Duration
	// Quiet is how long something that must not come again is watched for.
	// Default 5 s: longer than the endpoint's first wait before a retry.
	Quiet time.Duration
	// Overload says that the endpoint may be driven into overload.
	Overload bool
	// RejectedItemBytes is the size of an item that the endpoint is known to
	// reject while it takes others of the same request; 0: not known.
	RejectedItemBytes int64
	// ClientMaxBytes is the limit on requests that the endpoint has as a client;
	// 0: not known.
	ClientMaxBytes int64
	// StopPID is the process of the endpoint, to be ended by SIGTERM in the last
	// row; 0: it is left alone.
	StopPID int
	// Undelivered reads the endpoint's own count of what could not be delivered;
	// nil: not known.
	Undelivered func(context.Context) (float64, error)
	// Progress, unless nil, is told of each row before it runs.
	Progress func(Row)
}

// withDefaults checks c and fills it up.
func (c Config) withDefaults() (Config, error) {
	if c.GRPC == "" && c.HTTP == "" {
		return c, errors.New("no endpoint: give its gRPC address, its HTTP URL or both")
	}
	if c.HTTP != "" {
		if u, err := url.Parse(c.HTTP); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return c, fmt.Errorf("HTTP URL is %q: want http://host:port or https://host:port", c.HTTP)
		}
	}
	for _, s := range c.Signals {
		if !slices.Contains(SignalNames(), s) {
			return c, fmt.Errorf("signal %q: want some of %s", s, strings.Join(SignalNames(), ", "))
		}
	}
	for _, want := range c.Rows {
		if !slices.ContainsFunc(Rows(), func(r Row) bool { return r.is(want) }) {
			return c, fmt.Errorf("row %q: there is none, see -list", want)
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = 20 * time.Second
	}
	if c.MaxRequestBytes <= 0 {
		c.MaxRequestBytes = 64 << 20
	}
	if c.MaxRequestBytes < 64<<10 || c.MaxRequestBytes > 1<<30 {
		return c, fmt.Errorf("the limit of requests is %d bytes: want 64 KiB to 1 GiB", c.MaxRequestBytes)
	}
	if t := c.BackendTLS; t != nil {
		switch {
		case c.BackendGRPC == "" && c.BackendHTTP == "":
			return c, errors.New("a certificate for backends, and no backend: give an address to listen on, for gRPC, HTTP or both")
		case len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil:
			return c, errors.New("the TLS of the backends has no certificate: they could not listen")
		}
	}
	if c.Patience <= 0 {
		c.Patience = time.Minute
	}
	if c.Quiet <= 0 {
		c.Quiet = 5 * time.Second
	}
	return c, nil
}

// is tells whether a name means the row: its id, or the letters of it.
func (r *Row) is(name string) bool {
	return strings.EqualFold(name, r.ID) || strings.EqualFold(name, strings.TrimRight(r.ID, "0123456789"))
}

// suite is a run under way.
type suite struct {
	Config
	signals  []signal
	h1       *http.Transport // HTTP/1.1
	h2       *http.Transport // HTTP/2 alone
	backends backends
	silences atomic.Int32
}

func newSuite(c Config) *suite {
	s := &suite{Config: c, h2: newH2(c.TLS), h1: newHTTP(c.TLS, false)}
	for _, sig := range allSignals {
		if len(c.Signals) == 0 || slices.Contains(c.Signals, sig.name) {
			s.signals = append(s.signals, sig)
		}
	}
	return s
}

func (s *suite) close() {
	s.h1.CloseIdleConnections()
	s.h2.CloseIdleConnections()
}

func (s *suite) addHeaders(h http.Header) {
	for _, x := range s.Header {
		h.Add(x.Name, x.Value)
	}
}

// heard counts exchanges in a row that had no answer in their time.
func (s *suite) heard(ctx context.Context, err error) {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.silences.Add(1)
		return
	}
	s.silences.Store(0)
}

// silent is the error of an endpoint that has stopped answering.
func (s *suite) silent() error {
	if n := s.silences.Load(); n >= maxSilences {
		return fmt.Errorf("not sent: the endpoint has not answered the last %d requests within %s each", n, s.Timeout)
	}
	return nil
}

// Run runs the rows, one after the other. The error says why there is no
// report: the endpoint cannot be reached, or a backend cannot listen.
func Run(ctx context.Context, c Config) (*Report, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := newSuite(c)
	defer s.close()
	if err := s.reach(ctx); err != nil {
		return nil, err
	}
	if err := s.backends.start(c.BackendGRPC, c.BackendHTTP, c.BackendTLS); err != nil {
		return nil, err
	}
	defer s.backends.stop()
	report := newReport()
	for _, row := range Rows() {
		if len(c.Rows) > 0 && !slices.ContainsFunc(c.Rows, row.is) {
			continue
		}
		if c.Progress != nil {
			c.Progress(row)
		}
		report.add(row, s.run(ctx, &row))
	}
	return report, ctx.Err()
}

// reach tells whether the endpoint answers at all.
func (s *suite) reach(ctx context.Context) error {
	sig := s.signals[0]
	if s.GRPC != "" {
		if _, err := s.call(ctx, sig, "", nil); err != nil {
			return fmt.Errorf("gRPC endpoint %s: %w", s.GRPC, err)
		}
	}
	if s.HTTP != "" {
		if _, err := s.post(ctx, sig, protobufType, "", nil); err != nil {
			return fmt.Errorf("HTTP endpoint %s: %w", s.HTTP, err)
		}
	}
	return nil
}

// run is one row.
func (s *suite) run(ctx context.Context, row *Row) []Case {
	have := map[need]bool{needGRPC: s.GRPC != "", needHTTP: s.HTTP != "", needBackendGRPC: s.BackendGRPC != "", needBackendHTTP: s.BackendHTTP != ""}
	for i, text := range needText {
		if n := need(1 << i); row.needs&n != 0 && !have[n] {
			return []Case{{"all", notApplicable("%s", text)}}
		}
	}
	c := &check{suite: s, ctx: ctx, row: row}
	row.run(c)
	return c.cases
}
