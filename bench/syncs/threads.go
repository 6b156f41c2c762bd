//go:build linux

package syncs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// freezePatience bounds how long a thread may be in a system call that cannot
// be interrupted, as an fsync of a slow disk is.
const freezePatience = 10 * time.Second

// freeze stops a process and lists its threads, which stay the same until
// release.
func freeze(pid int) (tids []int, release func() error, err error) {
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return nil, nil, os.NewSyscallError("kill", err)
	}
	release = func() error { return os.NewSyscallError("kill", unix.Kill(pid, unix.SIGCONT)) }
	for end := time.Now().Add(freezePatience); ; {
		var moving int
		if tids, moving, err = threads(pid); err == nil && moving == 0 {
			return tids, release, nil
		}
		if err == nil && time.Now().After(end) {
			err = fmt.Errorf("%d of %d threads did not stop within %s", moving, len(tids), freezePatience)
		}
		if err != nil {
			return nil, nil, errors.Join(err, release())
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// threads lists the threads of a process and counts those that are not stopped.
func threads(pid int) (tids []int, moving int, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", dir, err)
		}
		stat, err := os.ReadFile(dir + "/" + e.Name() + "/stat")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			moving++ // it ended just now: look again
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		tids = append(tids, tid)
		// The state follows the name, which stands in parentheses and may hold anything.
		rest := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		switch {
		case len(rest) == 0:
			return nil, 0, fmt.Errorf("%s/%d/stat has no state", dir, tid)
		case rest[0][0] == 'Z' || rest[0][0] == 'X':
			return nil, 0, errors.New("the process has ended")
		case rest[0][0] != 'T':
			moving++
		}
	}
	return tids, moving, nil
}
