package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
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

// checkSpace refuses a new store that the volume is too small for. One that
// holds streams must start, else they could not be drained: it is warned of.
func checkSpace(dir string, want int64, log *slog.Logger) error {
	free, used, err := space(dir)
	if err != nil {
		return err
	}
	limit := share(free, used)
	if want <= limit {
		return nil
	}
	streams, err := streamDirs(dir)
	if err != nil {
		return err
	}
	if len(streams) > 0 {
		log.Warn("queue store: other data has taken space that the queue may need; it starts all the same, and refuses data once the disk is full: lower queue.max_bytes, or free space",
			"dir", dir, "max_bytes", want, "limit", limit, "free", free, "used", used, "streams", len(streams))
		return nil
	}
	return fmt.Errorf("queue store %s: max store of %d bytes is above %d, which is 80 %% of the volume's %d free and %d used here: lower queue.max_bytes, or free space",
		dir, want, limit, free, used)
}

// streamDirs are the directories of the streams in the store, of all accounts.
func streamDirs(dir string) ([]string, error) {
	root := filepath.Join(dir, server.JetStreamStoreDir)
	list := func(path string) ([]fs.DirEntry, error) {
		entries, err := os.ReadDir(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, nil // the server says what is wrong with it
		}
		if err != nil {
			return nil, fmt.Errorf("queue store %s: streams: %w", dir, err)
		}
		return entries, nil
	}
	accounts, err := list(root)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, a := range accounts {
		path := filepath.Join(root, a.Name(), "streams")
		streams, err := list(path)
		if err != nil {
			return nil, err
		}
		for _, s := range streams {
			if s.IsDir() {
				found = append(found, filepath.Join(path, s.Name()))
			}
		}
	}
	return found, nil
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
