package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// directory is where the files under test are.
type directory struct{ path string }

func (d directory) Received(t *testing.T) []exportertest.Received {
	t.Helper()
	var all bytes.Buffer
	names, err := filepath.Glob(filepath.Join(d.path, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return exportertest.JSONLines(t, &all, "")
}

func newExporter(t testing.TB, cfg Config) *Exporter {
	t.Helper()
	x, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func TestSuite(t *testing.T) {
	suite := func(maxBytes int64) {
		exportertest.Run(t, exportertest.Kind{
			New: func(t *testing.T, o exportertest.Options) (exporter.Exporter, exportertest.Destination) {
				dir := t.TempDir()
				return newExporter(t, Config{Name: "disk", Path: filepath.Join(dir, "out.jsonl"), MaxBytes: maxBytes}), directory{dir}
			},
			Same: exportertest.SameJSON,
		})
	}
	suite(-1)
	suite(20_000) // many are larger than that
}

func send(x *Exporter, t testing.TB, seed uint64) error {
	_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, seed, 3)))
	return err
}

func TestFilesAreForTheirOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	x := newExporter(t, Config{Path: path})
	if err := send(x, t, 1); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestAppendsAfterATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	if err := os.WriteFile(path, []byte("whole\ntor"), 0o600); err != nil {
		t.Fatal(err)
	}
	x := newExporter(t, Config{Path: path})
	for range 2 {
		if err := send(x, t, 1); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 5 || lines[0] != "whole" || lines[1] != "tor" || lines[2] != lines[3] || lines[4] != "" {
		t.Errorf("got %.200q", b)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"out-notes.jsonl", "out-20060102.jsonl", "out-20060102T150405.000000000Z.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x := newExporter(t, Config{Path: filepath.Join(dir, "out.jsonl"), MaxBytes: 1, MaxFiles: 3})
	for i := range 8 {
		if err := send(x, t, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	got := directory{dir}.Received(t)
	if len(got) != 4 {
		t.Fatalf("%d requests, want those of the newest 4 files", len(got))
	}
	for i, g := range got { // Glob sorts out-… before out.jsonl
		if !exportertest.SameJSON(otlp.Logs, exportertest.Body(otlp.Logs, uint64(i+4), 3), g.Body) {
			t.Errorf("file %d has another request", i)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4+3 {
		t.Errorf("%v, %v: files of others must stay", entries, err)
	}
}

func TestOneProcessAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	a, b := newExporter(t, Config{Path: path}), newExporter(t, Config{Path: path})
	if err := send(a, t, 1); err != nil {
		t.Fatal(err)
	}
	exportertest.Check(t, "in use", send(b, t, 1), exportertest.Want{Code: "write", Says: []string{"another process", path}})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := send(b, t, 1); err != nil {
		t.Errorf("once it is free: %v", err)
	}
}

func TestNoDirectoryYet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	x := newExporter(t, Config{Name: "disk", Path: filepath.Join(dir, "out.jsonl")})
	err := send(x, t, 1)
	exportertest.Check(t, "no directory", err, exportertest.Want{Code: "write", Says: []string{`"disk"`, dir}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := send(x, t, 1); err != nil {
		t.Error(err)
	}
	isDir := newExporter(t, Config{Path: dir})
	exportertest.Check(t, "a directory", send(isDir, t, 1), exportertest.Want{Code: "write", Says: []string{dir}})
}

func TestCanceledBefore(t *testing.T) {
	x := newExporter(t, Config{Path: filepath.Join(t.TempDir(), "out.jsonl")})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := x.Export(ctx, exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "canceled", err, exportertest.Want{Code: "canceled"})
}

func TestValidate(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(Config{Name: "disk"}, `destination "disk": path: none given`)
	f(Config{Path: "x", MaxBytes: -2}, "max_bytes: -2")
	f(Config{Path: "x", MaxFiles: -1}, "max_files: -1")
}

func BenchmarkExport(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			x := newExporter(b, Config{Path: filepath.Join(b.TempDir(), "out.jsonl")})
			line := bytes.Repeat([]byte("x"), 50_000)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := c; i < b.N; i += callers {
						if err := x.log.append(line); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
