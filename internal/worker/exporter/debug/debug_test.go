package debug

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output is a writer that can fail.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	return o.buf.Write(p)
}

func (o *output) Received(t *testing.T) []exportertest.Received {
	o.mu.Lock()
	defer o.mu.Unlock()
	return exportertest.JSONLines(t, bytes.NewReader(o.buf.Bytes()), "debug ")
}

func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.buf.String()
	o.buf.Reset()
	return s
}

func TestSuiteDetailed(t *testing.T) {
	exportertest.Run(t, exportertest.Kind{
		New: func(t *testing.T, o exportertest.Options) (exporter.Exporter, exportertest.Destination) {
			out := &output{}
			x, err := New(Config{Name: "screen", Writer: out, Verbosity: "detailed"})
			if err != nil {
				t.Fatal(err)
			}
			return x, out
		},
		Same: exportertest.SameJSON,
	})
}

func send(t *testing.T, x *Exporter, sig otlp.Signal, items int) {
	t.Helper()
	// No codec, no body: in basic nothing is looked at.
	if _, err := x.Export(context.Background(), &exporter.Request{Signal: sig, Items: items, Codec: "?"}); err != nil {
		t.Fatal(err)
	}
}

func TestSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{}
		x, err := New(Config{Name: "backend", Writer: out})
		if err != nil {
			t.Fatal(err)
		}
		says := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := out.take(); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		}
		says(time.Minute, "")
		send(t, x, otlp.Traces, 1000)
		send(t, x, otlp.Traces, 234)
		send(t, x, otlp.Metrics, 120)
		says(999*time.Millisecond, "")
		says(time.Millisecond, "debug backend: 1,234 spans/s 120 metric_points/s, total 1,234 spans 120 metric_points in 3 requests\n")
		says(time.Hour, "")
		send(t, x, otlp.Logs, 1_000_000)
		says(time.Second, "debug backend: 1,000,000 log_records/s, total 1,234 spans 120 metric_points 1,000,000 log_records in 4 requests\n")
		send(t, x, otlp.Logs, 0)
		says(time.Second, "debug backend: 0 items/s, total 1,234 spans 120 metric_points 1,000,000 log_records in 5 requests\n")
		send(t, x, otlp.Logs, 7)
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		says(time.Hour, "debug backend: 7 log_records/s, total 1,234 spans 120 metric_points 1,000,007 log_records in 6 requests\n")
	})
}

func TestWriterThatFails(t *testing.T) {
	broken := errors.New("broken pipe")
	out := &output{err: broken}
	x, err := New(Config{Name: "screen", Writer: out, Verbosity: "detailed"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 1)))
	exportertest.Check(t, "detailed", err, exportertest.Want{Code: "write", Says: []string{`"screen"`, "broken pipe"}})
	if err := x.Close(); err != nil {
		t.Errorf("nothing to sum up: %v", err)
	}

	basic, err := New(Config{Name: "screen", Writer: out})
	if err != nil {
		t.Fatal(err)
	}
	send(t, basic, otlp.Logs, 1)
	if err := basic.Close(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(Config{Name: "screen"}, `destination "screen": no writer`)
	f(Config{Writer: io.Discard, Verbosity: "loud"}, `verbosity: "loud"`)
	f(Config{Writer: io.Discard, Interval: -1}, "interval: -1ns")
}

func BenchmarkExportBasic(b *testing.B) {
	x, err := New(Config{Writer: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	r := &exporter.Request{Signal: otlp.Traces, Items: 100}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Export(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}
