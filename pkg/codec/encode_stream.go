package codec

import (
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

// streamEncoder makes an Encoder of a compressor that writes to an io.Writer.
// Compressors are pooled; one is held by one call from Reset to Close, and is
// thrown away after an error.
type streamEncoder struct {
	name string
	new  func() resetWriter
	pool sync.Pool // of *streamState
}

type resetWriter interface {
	io.WriteCloser
	Reset(io.Writer)
}

type streamState struct {
	out sliceWriter
	w   resetWriter
}

var gzipEncoders, brotliEncoders [9]streamEncoder // by level - 1

func init() {
	for i := range 9 {
		level := i + 1
		gzipEncoders[i].name = Gzip
		gzipEncoders[i].new = func() resetWriter {
			w, err := gzip.NewWriterLevel(nil, level)
			if err != nil {
				panic("codec: gzip refuses level of its own range: " + err.Error())
			}
			return w
		}
		brotliEncoders[i].name = Brotli
		brotliEncoders[i].new = func() resetWriter {
			// A window of 1 MiB: 4 MiB more would double the memory of a writer
			// for under 1 % of size.
			return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: level, LGWin: 20})
		}
	}
}

func (e *streamEncoder) Name() string { return e.name }

func (e *streamEncoder) Append(dst, src []byte) ([]byte, error) {
	s, _ := e.pool.Get().(*streamState)
	if s == nil {
		s = &streamState{w: e.new()}
	}
	s.out.b = dst
	s.w.Reset(&s.out)
	if _, err := s.w.Write(src); err != nil {
		return dst, err
	}
	if err := s.w.Close(); err != nil {
		return dst, err
	}
	dst = s.out.b
	s.out.b = nil
	e.pool.Put(s)
	return dst, nil
}

// sliceWriter appends what is written to it.
type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}
