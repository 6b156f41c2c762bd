package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is in Dir itself: the server takes every entry of the directory
// below for an account.
const lockName = "penstock.lock"

// lockDir takes Dir for this process. The lock ends with the process, however
// that ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("queue store %s: lock: %w", dir, err)
	}
	fail := func(err error) (*os.File, error) {
		return nil, errors.Join(fmt.Errorf("queue store %s: %w", dir, err), f.Close())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fail(fmt.Errorf("lock: %w", err))
		}
		pid, err := io.ReadAll(io.LimitReader(f, 32))
		if err != nil {
			return fail(fmt.Errorf("in use by another process, whose id cannot be read: %w", err))
		}
		return fail(fmt.Errorf("in use by process %s: stop it, or choose another dir", strings.TrimSpace(string(pid))))
	}
	// In this order the file keeps its block, which a full disk might not give again.
	n, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	if err == nil {
		err = f.Truncate(int64(n))
	}
	if err != nil {
		return fail(err)
	}
	return f, nil
}
