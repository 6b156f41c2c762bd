package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockEvery is how often a second writer tries.
const lockEvery = 50 * time.Millisecond

// EditKeys changes a keys file, or makes it: change gets the keys and returns
// those that are to be. Two at a time wait for one another, until ctx ends. The
// file is replaced whole and synced; when anything fails it is what it was. A new one
// has the mode 0600, and one that was there keeps its owner, its group and who may
// read it.
func EditKeys(ctx context.Context, name string, change func([]Key) ([]Key, error)) (err error) {
	target, err := filepath.EvalSymlinks(name) // the link stays
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = name
	case err != nil:
		return err
	}
	dir := filepath.Dir(target)
	unlock, err := lockDir(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	keys, err := ReadKeys(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	text, err := FormatKeys(keys)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return replace(target, text)
}

// lockDir takes the lock of a directory, which no file has to be left behind for.
// The system gives it back when the process ends, however that is.
func lockDir(ctx context.Context, dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return d.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), d.Close())
		}
		timer := time.NewTimer(lockEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(fmt.Errorf("another process changes keys in %s: %w", dir, ctx.Err()), d.Close())
		}
	}
}

// keepReaders lets who may read the file before read the new one: the process that
// uses the keys often runs as another user than who changes them, and while it cannot
// read the file, revoked keys hold.
func keepReaders(f *os.File, name string) error {
	var before, made unix.Stat_t
	switch err := unix.Stat(name, &before); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := unix.Fstat(int(f.Fd()), &made); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if made.Uid != before.Uid || made.Gid != before.Gid {
		if err := f.Chown(int(before.Uid), int(before.Gid)); err != nil {
			return fmt.Errorf("%s is of user %d and group %d, which the new file cannot be; change keys as that user, or as root: %w", name, before.Uid, before.Gid, err)
		}
	}
	return f.Chmod(0o600 | os.FileMode(before.Mode)&0o044)
}

// replace writes beside the file and renames, so that a reader sees the old one or
// the new one, also after a power cut.
func replace(name string, text []byte) (err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".penstock-keys-*") // 0600
	if err != nil {
		return err
	}
	renamed := false
	defer func() {
		if !renamed {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err = keepReaders(f, name); err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	renamed = true
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("%s was written, and may be lost in a power cut: %w", name, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("%s was written, and may be lost in a power cut: %w", name, err)
	}
	return nil
}
