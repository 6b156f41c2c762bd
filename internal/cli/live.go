package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// live is one line at the foot of a terminal that is written anew each second,
// while everything else that is written through it scrolls above. Away from a
// terminal there is no line.
type live struct {
	terminal bool
	width    int

	mu   sync.Mutex
	out  io.Writer // mu
	line string    // mu; what stands there now
}

// newLive writes to w, with a line if w is a terminal.
func newLive(w io.Writer) *live {
	l := &live{out: w, width: 120}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		l.terminal = true
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
			l.width = width
		}
	}
	return l
}

// clear is the escape sequence that empties a line.
const clear = "\r\x1b[2K"

// Write lets text scroll above the line. Callers write whole lines.
func (l *live) Write(p []byte) (int, error) {
	return l.writeTo(l.out, p)
}

func (l *live) writeTo(w io.Writer, p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line == "" {
		return w.Write(p)
	}
	if _, err := io.WriteString(l.out, clear); err != nil {
		return 0, err
	}
	n, err := w.Write(p)
	if err == nil && bytes.HasSuffix(p, []byte("\n")) {
		_, err = io.WriteString(l.out, l.line)
	}
	return n, err
}

// above is a writer to w that keeps the line below.
func (l *live) above(w io.Writer) io.Writer { return aboveWriter{l, w} }

type aboveWriter struct {
	l *live
	w io.Writer
}

func (a aboveWriter) Write(p []byte) (int, error) { return a.l.writeTo(a.w, p) }

// show replaces the line.
func (l *live) show(line string) {
	if !l.terminal {
		return
	}
	if r := []rune(line); len(r) >= l.width {
		line = string(r[:l.width-1])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = line
	_, _ = fmt.Fprint(l.out, clear+line) // a terminal that is gone ends the process by its signal
}

// plainEvery is the pace of progress away from a terminal.
const plainEvery = 10 * time.Second

// run shows text each second until ctx ends, and leaves the last one standing.
// Away from a terminal it writes a line now and then.
func (l *live) run(ctx context.Context, text func() string) {
	every := time.Second
	if !l.terminal {
		every = plainEvery
	}
	for t := time.NewTicker(every); ; {
		if l.terminal {
			l.show(text())
		}
		select {
		case <-t.C:
			if !l.terminal {
				_, _ = fmt.Fprintln(l, text()) // progress; a log that is gone is no reason to stop
			}
		case <-ctx.Done():
			t.Stop()
			l.end()
			return
		}
	}
}

// end leaves the line standing and writes below it from now on.
func (l *live) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line != "" {
		l.line = ""
		_, _ = fmt.Fprintln(l.out)
	}
}

// count writes a number as people read it: 999, 12.3k, 4.56M.
func count(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2fG", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1fk", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

// many is so many things, one of them in the singular.
func many[N int | int64 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// size writes bytes as people read them.
func size(n float64) string {
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			if u == "B" {
				return fmt.Sprintf("%.0f B", n)
			}
			return fmt.Sprintf("%.1f %s", n, u)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.1f TiB", n)
}
