// Package file delivers to a file of OTLP JSON lines, as the file exporter of
// the OpenTelemetry Collector writes them: one Export*ServiceRequest a line,
// told apart by its member resourceSpans, resourceMetrics or resourceLogs.
//
//   - A request is delivered once its line is on the disk (fsync). Requests
//     that arrive during an fsync share the next one.
//   - Only the last line of a file can be torn, by a crash; that request was
//     never confirmed. The next line then begins on a new one, so that a reader
//     skips what does not parse and loses nothing.
//   - A line is never split over two files.
//   - One process writes a file at a time. A file that is moved or removed by
//     others is let go of, and a new one begun.
//
// A file that would grow over MaxBytes is renamed, first, to
// name-20060102T150405.000000000Z.ext by the time of its end. Any failure of
// the disk is retryable ("write"): the request stays in the queue. What cannot
// be decoded is permanent ("undecodable"). Unknown fields have no place in
// OTLP JSON and are not in the file.
package file

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// DefaultMaxBytes is the size over which a file is rotated.
const DefaultMaxBytes = 256 << 20

// Config is one destination.
type Config struct {
	// Name of the destination, for errors.
	Name string
	// Path of the file. It is made, readable by its owner alone, in a
	// directory that exists.
	Path string
	// MaxBytes is the size over which a file is rotated; a single line may be
	// larger. Default DefaultMaxBytes, -1 never rotates.
	MaxBytes int64
	// MaxFiles is how many rotated files are kept; the oldest are removed.
	// Default all.
	MaxFiles int
}

// WithDefaults returns c with every unset field at its default.
func (c Config) WithDefaults() Config {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	return c
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New("path: none given"))
	}
	if c.MaxBytes < -1 {
		errs = append(errs, fmt.Errorf("max_bytes: %d, want 1 or more, or -1 for no limit", c.MaxBytes))
	}
	if c.MaxFiles < 0 {
		errs = append(errs, fmt.Errorf("max_files: %d, want 1 or more, or 0 for all", c.MaxFiles))
	}
	if len(errs) > 0 {
		return fmt.Errorf("destination %q: %w", c.Name, errors.Join(errs...))
	}
	return nil
}

// Exporter delivers to one file.
type Exporter struct {
	cfg    Config
	bodies *outgoing.Bodies
	log    *log
}

var _ exporter.Exporter = (*Exporter)(nil)

// New opens nothing yet: a directory that is missing is an error of the exports.
func New(cfg Config) (*Exporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	bodies, err := outgoing.NewBodies(codec.None, 0, 0)
	if err != nil {
		return nil, err
	}
	return &Exporter{cfg: cfg, bodies: bodies, log: newLog(cfg)}, nil
}

// Export writes one request; see exporter.Exporter. It is not cut short by ctx
// once the line is being written.
func (x *Exporter) Export(ctx context.Context, r *exporter.Request) (exporter.Result, error) {
	if ctx.Err() != nil {
		return exporter.Result{}, &exporter.Error{Kind: exporter.Retryable, Code: "canceled", Err: ctx.Err()}
	}
	line, err := x.bodies.JSONLine(nil, r)
	if err != nil {
		return exporter.Result{}, err
	}
	if err := x.log.append(line); err != nil {
		return exporter.Result{}, &exporter.Error{Kind: exporter.Retryable, Code: "write",
			Err: fmt.Errorf("destination %q: %w", x.cfg.Name, err)}
	}
	return exporter.Result{}, nil
}

// Close closes the file. Requests after it fail.
func (x *Exporter) Close() error { return x.log.close() }
