//go:build linux

// Package syncs counts how often a process asks the kernel to write through to
// the disk, from outside and without its help. A counter of the kernel
// (perf_event_open) hangs on each thread and is inherited by the threads and
// processes made later, so that nothing is streamed and no call is missed:
//
//	thread ──▶ sys_enter_fsync +1 ──▶ Read: sum of the threads, also of those that ended
//
// Not seen are writes that are durable without a call: files opened with O_SYNC
// or O_DSYNC. It needs root (or CAP_PERFMON and a readable tracefs).
package syncs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Counts are calls since a counter was opened, or between two readings of it.
type Counts struct {
	Fsync         uint64 `json:"fsync"`
	Fdatasync     uint64 `json:"fdatasync"`
	Syncfs        uint64 `json:"syncfs"`
	SyncFileRange uint64 `json:"sync_file_range"` // no promise of durability: flushes no metadata
	Msync         uint64 `json:"msync"`
}

// calls are the system calls in the order of Counts.slots.
var calls = [...]string{"fsync", "fdatasync", "syncfs", "sync_file_range", "msync"}

func (c *Counts) slots() [len(calls)]*uint64 {
	return [...]*uint64{&c.Fsync, &c.Fdatasync, &c.Syncfs, &c.SyncFileRange, &c.Msync}
}

// Durable is the number of calls by which a file became durable.
func (c Counts) Durable() uint64 { return c.Fsync + c.Fdatasync }

// Since is what was counted after before, an earlier reading.
func (c Counts) Since(before Counts) Counts {
	a, b := c.slots(), before.slots()
	for i := range a {
		*a[i] -= *b[i]
	}
	return c
}

// Counter counts one process, with the threads and processes that it makes.
// It outlives the process; Close gives its file descriptors back.
type Counter struct {
	pid int
	fds [len(calls)][]int // a counter for each thread that was there at Open
}

// Open begins to count. The process is stopped for the moment in which its
// threads are listed, some hundred microseconds: a thread made meanwhile would
// be counted twice or never.
func Open(pid int) (c *Counter, err error) {
	ids, err := eventIDs()
	if err != nil {
		return nil, fmt.Errorf("count syncs of process %d: %w", pid, err)
	}
	c = &Counter{pid: pid}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("count syncs of process %d: %w", pid, err), c.Close())
			c = nil
		}
	}()
	tids, release, err := freeze(pid)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, release()) }()
	for i, id := range ids {
		for _, tid := range tids {
			fd, err := attach(tid, id)
			if err != nil {
				return c, fmt.Errorf("counter of %s for thread %d: %w", calls[i], tid, hint(err))
			}
			c.fds[i] = append(c.fds[i], fd)
		}
	}
	return c, nil
}

// attach makes a counter of the tracepoint for a thread and its offspring.
func attach(tid int, id uint64) (int, error) {
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_TRACEPOINT,
		Size:   unix.PERF_ATTR_SIZE_VER0,
		Config: id,
		Bits:   unix.PerfBitInherit,
	}
	return unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
}

// hint says what is missing.
func hint(err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("perf_event_open is not allowed: run as root or with CAP_PERFMON: %w", err)
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("this kernel has no perf events for tracepoints: %w", err)
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("raise the limit of open files (ulimit -n): %w", err)
	}
	return err
}

// Read gives what was counted since Open.
func (c *Counter) Read() (Counts, error) {
	var out Counts
	for i, slot := range out.slots() {
		for _, fd := range c.fds[i] {
			var b [8]byte
			n, err := unix.Read(fd, b[:])
			if err != nil || n != len(b) {
				return Counts{}, fmt.Errorf("read the counter of %s of process %d: %d bytes, %w", calls[i], c.pid, n, err)
			}
			*slot += binary.NativeEndian.Uint64(b[:])
		}
	}
	return out, nil
}

// Close ends the counting.
func (c *Counter) Close() error {
	var all []error
	for i := range c.fds {
		for _, fd := range c.fds[i] {
			if err := unix.Close(fd); err != nil {
				all = append(all, os.NewSyscallError("close", err))
			}
		}
		c.fds[i] = nil
	}
	return errors.Join(all...)
}
