//go:build unix && !aix && !solaris

package file

import (
	"os"
	"syscall"
)

// lock fails where another open file holds the lock; closing f gives it up.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
