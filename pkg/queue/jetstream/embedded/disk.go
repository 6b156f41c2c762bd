package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// DefaultMaxStore is 10 GiB, or 80 % of what the volume of dir can give (free
// bytes plus those that dir uses) if that is less. dir need not exist yet.
func DefaultMaxStore(dir string) (int64, error) {
	free, used, err := space(dir)
	if err != nil {
		return 0, err
	}
	return min(MaxDefaultStore, share(free, used)), nil
}

func share(free, used int64) int64 { return (free + used) / 10 * 8 }

func checkSpace(dir string, want int64) error {
	free, used, err := space(dir)
	if err != nil {
		return err
	}
	if limit := share(free, used); want > limit {
		return fmt.Errorf("queue store %s: max store of %d bytes is above %d, which is 80 %% of the volume's %d free and %d used here: lower queue.max_bytes, or free space",
			dir, want, limit, free, used)
	}
	return nil
}

// space gives the bytes that are free for this user on the volume of dir, and
// those that dir takes.
func space(dir string) (free, used int64, err error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("queue store %s: %w", dir, err)
	}
	for { // the nearest directory that exists
		_, err := os.Stat(at)
		if err == nil {
			break
		}
		if parent := filepath.Dir(at); errors.Is(err, fs.ErrNotExist) && parent != at {
			at = parent
			continue
		}
		return 0, 0, fmt.Errorf("queue store %s: %w", dir, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return 0, 0, fmt.Errorf("queue store %s: free space: %w", dir, err)
	}
	free = int64(st.Bavail) * int64(st.Bsize)
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // not made yet, or removed while walking
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			used += info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("queue store %s: used space: %w", dir, err)
	}
	return free, used, nil
}
