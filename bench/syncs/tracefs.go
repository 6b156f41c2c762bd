//go:build linux

package syncs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// eventIDs are the kernel's numbers of the tracepoints of calls. They stay the
// same while the kernel runs, so that one look is enough.
var eventIDs = sync.OnceValues(func() (ids [len(calls)]uint64, err error) {
	dir, release, err := tracefs()
	if err != nil {
		return ids, err
	}
	defer func() { err = errors.Join(err, release()) }()
	for i, call := range calls {
		path := filepath.Join(dir, "events/syscalls/sys_enter_"+call, "id")
		b, err := os.ReadFile(path)
		if err != nil {
			return ids, fmt.Errorf("tracepoint of %s (the kernel needs CONFIG_FTRACE_SYSCALLS): %w", call, err)
		}
		if ids[i], err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err != nil {
			return ids, fmt.Errorf("%s: %w", path, err)
		}
	}
	return ids, nil
})

// tracefs is a directory where tracefs is mounted. Where it is not, it is
// mounted for the moment at a place of our own.
func tracefs() (dir string, release func() error, err error) {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(dir + "/events/syscalls"); err == nil {
			return dir, func() error { return nil }, nil
		}
	}
	if dir, err = os.MkdirTemp("", "tracefs-"); err != nil {
		return "", nil, err
	}
	if err := unix.Mount("none", dir, "tracefs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return "", nil, errors.Join(fmt.Errorf("tracefs is not mounted at /sys/kernel/tracing, and mounting it needs root: %w", err), os.Remove(dir))
	}
	return dir, func() error {
		if err := unix.Unmount(dir, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		return os.Remove(dir)
	}, nil
}
