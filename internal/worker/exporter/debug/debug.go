// Package debug is a destination that shows what arrives and keeps nothing of
// it.
//
// A request counts as delivered once it is counted ("basic"), or once its line
// was written ("detailed"). In basic no body is looked at.
package debug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Verbosities are the values of Config.Verbosity.
var Verbosities = []string{"basic", "detailed"}

// Config is one destination.
type Config struct {
	// Name of the destination, at the start of every summary.
	Name string
	// Writer gets one Write a line, never two at once.
	Writer io.Writer
	// Verbosity is "basic", a summary each Interval while requests arrive, or
	// "detailed", which adds each request as a line of OTLP JSON. Default basic.
	Verbosity string
	// Interval of the summaries. Default 1 s.
	Interval time.Duration
}

// WithDefaults returns c with every unset field at its default.
func (c Config) WithDefaults() Config {
	if c.Verbosity == "" {
		c.Verbosity = "basic"
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	return c
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	if c.Writer == nil {
		errs = append(errs, errors.New("no writer"))
	}
	if !slices.Contains(Verbosities, c.Verbosity) {
		errs = append(errs, fmt.Errorf("verbosity: %q, want one of %v", c.Verbosity, Verbosities))
	}
	if c.Interval < 0 {
		errs = append(errs, fmt.Errorf("interval: %s, want a positive duration", c.Interval))
	}
	if len(errs) > 0 {
		return fmt.Errorf("destination %q: %w", c.Name, errors.Join(errs...))
	}
	return nil
}

// counts are items by signal, and requests.
type counts struct {
	items    [otlp.NumSignals]int
	requests int
}

// Exporter counts and shows.
type Exporter struct {
	cfg    Config
	bodies *outgoing.Bodies

	mu     sync.Mutex // guards everything below, and the writer
	now    counts     // since the window began
	total  counts
	timer  *time.Timer // runs while a window is open
	began  time.Time
	closed bool
	err    error // first failure to write a summary
}

var _ exporter.Exporter = (*Exporter)(nil)

// New makes an exporter that has no goroutine while nothing arrives.
func New(cfg Config) (*Exporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	bodies, err := outgoing.NewBodies(codec.None, 0, 0)
	if err != nil {
		return nil, err
	}
	return &Exporter{cfg: cfg.WithDefaults(), bodies: bodies}, nil
}

// Export counts one request; see exporter.Exporter.
func (x *Exporter) Export(_ context.Context, r *exporter.Request) (exporter.Result, error) {
	var line []byte
	if x.cfg.Verbosity == "detailed" {
		var err error
		if line, err = x.bodies.JSONLine(nil, r); err != nil {
			return exporter.Result{}, err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return exporter.Result{}, x.retry(errors.New("the exporter is closed"))
	}
	if len(line) > 0 {
		if _, err := x.cfg.Writer.Write(line); err != nil {
			return exporter.Result{}, x.retry(err)
		}
	}
	x.now.items[r.Signal] += r.Items
	x.now.requests++
	if x.timer == nil {
		x.began = time.Now()
		x.timer = time.AfterFunc(x.cfg.Interval, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.summary()
		})
	}
	return exporter.Result{}, nil
}

func (x *Exporter) retry(err error) error {
	return &exporter.Error{Kind: exporter.Retryable, Code: "write", Err: fmt.Errorf("destination %q: %w", x.cfg.Name, err)}
}

// summary ends the window with its line. It needs mu.
func (x *Exporter) summary() {
	if x.timer == nil {
		return
	}
	x.timer.Stop()
	x.timer = nil
	x.total.requests += x.now.requests
	var rates [otlp.NumSignals]int
	seconds := max(time.Since(x.began), x.cfg.Interval).Seconds()
	for sig, n := range x.now.items {
		x.total.items[sig] += n
		rates[sig] = int(float64(n)/seconds + 0.5)
	}
	_, err := fmt.Fprintf(x.cfg.Writer, "debug %s: %s, total %s in %s requests\n",
		x.cfg.Name, list(rates, "/s"), list(x.total.items, ""), grouped(x.total.requests))
	if err != nil && x.err == nil {
		x.err = fmt.Errorf("destination %q: summary not written: %w", x.cfg.Name, err)
	}
	x.now = counts{}
}

// list is "1,234 spans/s 120 metric_points/s".
func list(items [otlp.NumSignals]int, suffix string) string {
	var b strings.Builder
	for sig, n := range items {
		if n > 0 {
			fmt.Fprintf(&b, " %s %s%s", grouped(n), otlp.Signal(sig).Items(), suffix)
		}
	}
	if b.Len() == 0 {
		return "0 items" + suffix
	}
	return b.String()[1:]
}

// grouped is n as 1,234,567.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Close writes the last summary. It returns the first error of any summary.
func (x *Exporter) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	x.summary()
	err := x.err
	x.err = nil
	return err
}
