// Package send is a small OTLP client that makes its own telemetry: the test
// sender of the command line and the demo. It speaks to the front door of any
// OTLP receiver as an SDK would, and resends what the receiver asks to be
// resent.
package send

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Header is one of a request. Its value is not shown.
type Header struct {
	Name  string
	Value config.Secret
}

// Config says what is sent and where.
type Config struct {
	// Target is host:port for gRPC, a base URL for HTTP.
	Target   string
	Protocol string // "grpc" or "http"
	// Insecure speaks gRPC in plain text; for HTTP the URL says it.
	Insecure bool
	// TLS is how it speaks otherwise; nil: the system's authorities.
	TLS *tls.Config
	// Token goes along as Authorization: Bearer, and is never shown.
	Token config.Secret
	// Headers go along too.
	Headers []Header
	Signals []otlp.Signal
	// Items of each signal to send in all; 0: until ctx ends.
	Items int
	// Rate is items a second of each signal; 0: as fast as answered.
	Rate float64
	// Batch is items a request.
	Batch int
	// Compression on the wire: none, gzip, zstd, and for gRPC snappy.
	Compression string
	// Clients send at the same time, for each signal.
	Clients int
	// Seed of the content.
	Seed uint64
	// Patience is how long a request is sent again before it is given up; 0:
	// until ctx ends.
	Patience time.Duration
	// OnRetry, if not nil, hears why a request is sent again; from many
	// goroutines.
	OnRetry func(error)
}

// Validate says what cannot be sent.
func (c Config) Validate() error {
	switch {
	case c.Protocol != "grpc" && c.Protocol != "http":
		return fmt.Errorf("protocol is %q: want grpc or http", c.Protocol)
	case c.Target == "":
		return errors.New("no target address")
	case c.Batch < 1 || c.Batch > 100_000:
		return fmt.Errorf("batch is %d: want 1 to 100000 items", c.Batch)
	case c.Clients < 1 || c.Clients > 1000:
		return fmt.Errorf("clients is %d: want 1 to 1000", c.Clients)
	case c.Items < 0 || c.Rate < 0:
		return fmt.Errorf("count is %d and rate %g: want 0 or more", c.Items, c.Rate)
	case len(c.Signals) == 0:
		return errors.New("no signal to send")
	case !slices.Contains([]string{"", codec.None, codec.Gzip, codec.Zstd, codec.Snappy}, c.Compression):
		return fmt.Errorf("compression is %q: want none, gzip, zstd or snappy", c.Compression)
	case c.Compression == codec.Snappy && c.Protocol == "http":
		return errors.New("compression is snappy: protocol http takes none, gzip or zstd")
	}
	for _, h := range c.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value.Reveal()) || h.Name[0] == ':' || strings.HasPrefix(strings.ToLower(h.Name), "grpc-") {
			return fmt.Errorf("the header %q cannot be sent: its name or its value is none", h.Name)
		}
	}
	if c.Protocol == "grpc" && (strings.HasPrefix(c.Target, "http://") || strings.HasPrefix(c.Target, "https://")) {
		return fmt.Errorf("target is %q: protocol grpc wants host:port, such as 127.0.0.1:4317", c.Target)
	}
	if u, err := url.Parse(c.Target); c.Protocol == "http" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("target is %q: want a base URL such as http://127.0.0.1:4318", c.Target)
	}
	return nil
}

// headers are all that go along, the token among them.
func (c Config) headers() []Header {
	if c.Token == "" {
		return c.Headers
	}
	return append(slices.Clone(c.Headers), Header{"Authorization", "Bearer " + c.Token})
}

// Totals are what became of what was sent. Read while Run runs.
type Totals struct {
	Accepted [otlp.NumSignals]atomic.Int64 // items answered with success
	Rejected atomic.Int64                  // items of partial successes
	Failed   atomic.Int64                  // items refused for good
	Unknown  atomic.Int64                  // items without an answer when ctx ended
	Resent   atomic.Int64                  // requests sent again
	Requests atomic.Int64                  // requests answered with success
}

// All is the accepted items of all signals.
func (t *Totals) All() int64 {
	var n int64
	for i := range t.Accepted {
		n += t.Accepted[i].Load()
	}
	return n
}

// client sends one request once. The error is nil, a *retryError, or final.
type client interface {
	export(ctx context.Context, s otlp.Signal, body []byte) (rejected int64, err error)
	close() error
}

// retryError is a refusal that asks to be sent again.
type retryError struct {
	after time.Duration
	err   error
}

func (e *retryError) Error() string { return e.err.Error() }

// Run sends until all is answered or ctx ends, and returns the first request
// that failed for good.
func Run(ctx context.Context, c Config, t *Totals) error {
	if err := c.Validate(); err != nil {
		return err
	}
	cl, err := dial(c)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range c.Signals {
		left := new(atomic.Int64)
		left.Store(int64(c.Items))
		limit := rate.NewLimiter(rate.Inf, 0)
		if c.Rate > 0 {
			limit = rate.NewLimiter(rate.Limit(c.Rate), max(c.Batch, int(c.Rate/10)))
		}
		for i := range c.Clients {
			source := uint32(int(s)*c.Clients + i + 1)
			group.Go(func() error {
				g := sample.New(c.Seed, sample.Shape{Source: source, Resources: min(4, c.Batch)})
				return run(ctx, c, cl, s, g, left, limit, t)
			})
		}
	}
	err = group.Wait()
	return errors.Join(err, cl.close())
}

// run is one client of one signal.
func run(ctx context.Context, c Config, cl client, s otlp.Signal, g *sample.Generator, left *atomic.Int64, limit *rate.Limiter, t *Totals) error {
	var body []byte
	for ctx.Err() == nil {
		n := c.Batch
		if c.Items > 0 {
			before := left.Add(int64(-n)) + int64(n)
			if before <= 0 {
				return nil
			}
			n = int(min(before, int64(n)))
		}
		if err := limit.WaitN(ctx, n); err != nil {
			return nil // ctx ended
		}
		body = g.Append(body[:0], s, n, time.Now())
		rejected, err := persist(ctx, c, cl, s, body, t)
		if ctx.Err() != nil && err != nil {
			t.Unknown.Add(int64(n))
			return nil
		}
		if err != nil {
			t.Failed.Add(int64(n))
			return fmt.Errorf("send %d %s: %w", n, s.Items(), err)
		}
		rejected = min(max(rejected, 0), int64(n)) // a server may say any number
		t.Requests.Add(1)
		t.Rejected.Add(rejected)
		t.Accepted[s].Add(int64(n) - rejected)
	}
	return nil
}

// persist sends a request until it is answered for good, patience or ctx ends.
func persist(ctx context.Context, c Config, cl client, s otlp.Signal, body []byte, t *Totals) (int64, error) {
	begin := time.Now()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		rejected, err := cl.export(ctx, s, body)
		var again *retryError
		if !errors.As(err, &again) {
			return rejected, err
		}
		if c.Patience > 0 && time.Since(begin) >= c.Patience {
			return 0, fmt.Errorf("given up after %s: %w", c.Patience, again.err)
		}
		if c.OnRetry != nil && ctx.Err() == nil {
			c.OnRetry(again.err)
		}
		t.Resent.Add(1)
		select {
		case <-time.After(max(wait, again.after)):
		case <-ctx.Done():
			return 0, err
		}
	}
}
