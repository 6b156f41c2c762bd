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
// file is replaced whole and synced, with the mode 0600; when anything fails it is
// what it was.
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
	if _, err = f.Write(text); err == nil {
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
