package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

var errClosed = errors.New("the exporter is closed")

// handle is what log needs of a file: *os.File, but for tests that break it.
type handle interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
	Close() error
}

// log appends whole lines to a file and says when they are on the disk. Whoever
// gets file writes the lines of all who wait for it, and syncs once.
type log struct {
	path     string
	maxBytes int64
	maxFiles int
	open     func(path string) (f handle, size int64, err error)

	mu      sync.Mutex
	pending []*entry // guarded by mu

	file   sync.Mutex // taken before mu; guards everything below, and entries
	f      handle     // nil: none open
	size   int64
	closed bool
}

// entry is a line and its fate.
type entry struct {
	line []byte
	done bool
	err  error
}

func newLog(cfg Config) *log {
	return &log{path: cfg.Path, maxBytes: cfg.MaxBytes, maxFiles: cfg.MaxFiles, open: openFile}
}

// append returns once line is on the disk. An empty line is nothing.
func (l *log) append(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	e := &entry{line: line}
	l.mu.Lock()
	l.pending = append(l.pending, e)
	l.mu.Unlock()

	l.file.Lock()
	defer l.file.Unlock()
	if !e.done {
		l.mu.Lock()
		batch := l.pending
		l.pending = nil
		l.mu.Unlock()
		l.commit(batch)
	}
	return e.err
}

// commit decides the fate of each entry. It needs file.
func (l *log) commit(batch []*entry) {
	if err := l.follow(); err != nil {
		for _, e := range batch {
			e.done, e.err = true, err
		}
		return
	}
	unsynced := 0
	for i, e := range batch {
		if l.f != nil && l.maxBytes > 0 && l.size > 0 && l.size+int64(len(e.line)) > l.maxBytes {
			l.sync(batch[unsynced:i])
			unsynced = i
			if e.err = l.rotate(); e.err != nil {
				continue
			}
		}
		e.err = l.write(e.line)
	}
	l.sync(batch[unsynced:])
	for _, e := range batch {
		e.done = true
	}
}

// follow lets go of a file that somebody moved or removed, as log rotation from
// outside does: what is written there might never be seen.
func (l *log) follow() error {
	if l.f == nil {
		return nil
	}
	mine, err := l.f.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Stat(l.path); err == nil && os.SameFile(mine, named) {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}

func (l *log) write(line []byte) error {
	if l.closed {
		return errClosed
	}
	if l.f == nil {
		f, size, err := l.open(l.path)
		if err != nil {
			return err
		}
		l.f, l.size = f, size
	}
	n, err := l.f.Write(line)
	if err == nil {
		l.size += int64(n)
		return nil
	}
	err = fmt.Errorf("write to %s at %d bytes: %w", l.path, l.size, err)
	if n == 0 {
		return err
	}
	if terr := l.f.Truncate(l.size); terr != nil {
		// The torn line stays, so the next one must not follow it.
		l.size += int64(n)
		_, nerr := l.f.Write([]byte("\n"))
		if nerr != nil {
			return errors.Join(err, terr, nerr, l.abandon())
		}
		l.size++
		return errors.Join(err, terr)
	}
	return err
}

// sync makes the entries durable that were written. If it fails they are lost
// for good, as the kernel may drop their pages and report success the next
// time: the file is put aside and a new one begun.
func (l *log) sync(written []*entry) {
	if l.f == nil {
		return
	}
	err := l.f.Sync()
	if err == nil {
		return
	}
	err = errors.Join(fmt.Errorf("sync %s: %w", l.path, err), l.abandon())
	for _, e := range written {
		if e.err == nil {
			e.err = err
		}
	}
}

// abandon puts the file aside whatever state it is in.
func (l *log) abandon() error {
	f := l.f
	l.f = nil
	return errors.Join(f.Close(), l.setAside())
}

// rotate ends a file that was synced.
func (l *log) rotate() error {
	if l.f != nil {
		err := l.f.Close()
		l.f = nil
		if err != nil {
			return fmt.Errorf("close %s to rotate it: %w", l.path, err)
		}
	}
	return l.setAside()
}

// close syncs nothing: every line was, before it was confirmed.
func (l *log) close() error {
	l.file.Lock()
	defer l.file.Unlock()
	l.closed = true
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}
