package file

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// breaking is a file whose calls fail on demand.
type breaking struct {
	*os.File
	disk *brokenDisk
}

// brokenDisk opens such files.
type brokenDisk struct {
	short    int // the next write stops after so many bytes; -1 does not
	truncate error
	sync     error
	close    error
	newline  error // a write of a newline alone
	syncs    int
}

var errDisk = errors.New("input/output error")

func (b *breaking) Write(p []byte) (int, error) {
	if string(p) == "\n" && b.disk.newline != nil {
		return 0, b.disk.newline
	}
	if n := b.disk.short; n >= 0 {
		b.disk.short = -1
		if n, err := b.File.Write(p[:n]); err != nil {
			return n, err
		}
		return n, errDisk
	}
	return b.File.Write(p)
}

func (b *breaking) Truncate(n int64) error {
	if b.disk.truncate != nil {
		return b.disk.truncate
	}
	return b.File.Truncate(n)
}

func (b *breaking) Sync() error {
	b.disk.syncs++
	if b.disk.sync != nil {
		return b.disk.sync
	}
	return b.File.Sync()
}

func (b *breaking) Close() error { return errors.Join(b.File.Close(), b.disk.close) }

func brokenLog(t *testing.T) (*log, *brokenDisk) {
	t.Helper()
	l := newLog(Config{Path: filepath.Join(t.TempDir(), "out.jsonl"), MaxBytes: -1})
	d := &brokenDisk{short: -1}
	l.open = func(path string) (handle, int64, error) {
		f, size, err := openFile(path)
		if err != nil {
			return nil, 0, err
		}
		return &breaking{f.(*os.File), d}, size, nil
	}
	t.Cleanup(func() {
		*d = brokenDisk{short: -1}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	return l, d
}

func (l *log) mustAppend(t *testing.T, line string) {
	t.Helper()
	if err := l.append([]byte(line)); err != nil {
		t.Error(err)
	}
}

func (l *log) wantFailure(t *testing.T, line string) {
	t.Helper()
	if err := l.append([]byte(line)); !errors.Is(err, errDisk) || !strings.Contains(err.Error(), l.path) {
		t.Errorf("got %v, want %v with the path", err, errDisk)
	}
}

func (l *log) wantContent(t *testing.T, want string) {
	t.Helper()
	b, err := os.ReadFile(l.path)
	if err != nil || string(b) != want {
		t.Errorf("content %q, %v, want %q", b, err, want)
	}
}

func TestShortWriteIsTakenBack(t *testing.T) {
	l, d := brokenLog(t)
	l.mustAppend(t, "a\n")
	for n := range 2 {
		d.short = n
		l.wantFailure(t, "bbb\n")
	}
	l.mustAppend(t, "c\n")
	l.wantContent(t, "a\nc\n")
}

func TestShortWriteThatStaysIsEnded(t *testing.T) {
	l, d := brokenLog(t)
	d.short, d.truncate = 2, errDisk
	l.wantFailure(t, "bbb\n")
	l.mustAppend(t, "c\n")
	l.wantContent(t, "bb\nc\n")
}

func TestShortWriteThatCannotBeEndedIsPutAside(t *testing.T) {
	l, d := brokenLog(t)
	d.short, d.truncate, d.newline = 2, errDisk, errDisk
	l.wantFailure(t, "bbb\n")
	l.mustAppend(t, "c\n")
	l.wantContent(t, "c\n")
	if aside, err := l.rotated(); err != nil || len(aside) != 1 {
		t.Errorf("put aside %v, %v", aside, err)
	}
}

// After a failed fsync nothing of that file is believed again.
func TestFailedSyncBeginsANewFile(t *testing.T) {
	l, d := brokenLog(t)
	l.mustAppend(t, "a\n")
	d.sync = errDisk
	l.wantFailure(t, "b\n")
	d.sync = nil
	l.mustAppend(t, "c\n")
	l.wantContent(t, "c\n")
	aside, err := l.rotated()
	if err != nil || len(aside) != 1 {
		t.Fatalf("put aside %v, %v", aside, err)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || string(b) != "a\nb\n" {
		t.Errorf("put aside %q, %v", b, err)
	}
}

// Those who wait share one sync, and its failure; a failed line is its own.
func TestOneSyncForAll(t *testing.T) {
	l, d := brokenLog(t)
	l.file.Lock()
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = l.append([]byte("x\n")) })
	}
	for waiting := 0; waiting < len(errs); {
		l.mu.Lock()
		waiting = len(l.pending)
		l.mu.Unlock()
	}
	l.file.Unlock()
	wg.Wait()
	if err := errors.Join(errs...); err != nil || d.syncs != 1 {
		t.Errorf("%d syncs, %v", d.syncs, err)
	}

	d.short = 0
	one, two := &entry{line: []byte("1\n")}, &entry{line: []byte("2\n")}
	l.file.Lock()
	l.commit([]*entry{one, two})
	l.file.Unlock()
	if !errors.Is(one.err, errDisk) || two.err != nil || !two.done {
		t.Errorf("got %v and %v", one.err, two.err)
	}
}

func TestRotationThatFails(t *testing.T) {
	l, d := brokenLog(t)
	l.maxBytes = 3
	l.mustAppend(t, "a\n")
	d.close = errDisk
	l.wantFailure(t, "b\n")
	d.close = nil
	l.mustAppend(t, "c\n") // the name is still taken by the file of a
	l.wantContent(t, "a\nc\n")
	l.mustAppend(t, "d\n")
	l.wantContent(t, "d\n")
	if err := os.Remove(l.path); err != nil {
		t.Fatal(err)
	}
	l.mustAppend(t, "e\n")
	l.wantContent(t, "e\n")
}

func TestFollowsItsPath(t *testing.T) {
	l, d := brokenLog(t)
	l.mustAppend(t, "a\n")
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		t.Fatal(err)
	}
	l.mustAppend(t, "b\n")
	l.wantContent(t, "b\n")
	if err := os.Remove(l.path); err != nil {
		t.Fatal(err)
	}
	d.close = errDisk
	if err := l.append([]byte("c\n")); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	d.close = nil
	l.mustAppend(t, "d\n")
	l.wantContent(t, "d\n")
}

func TestClosed(t *testing.T) {
	l, _ := brokenLog(t)
	l.mustAppend(t, "a\n")
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if err := l.append([]byte("b\n")); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	l.wantContent(t, "a\n")
}
