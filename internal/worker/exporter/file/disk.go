package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const stampFormat = "20060102T150405.000000000Z"

// openFile opens path for appending whole lines, alone. A torn last line is
// ended.
func openFile(path string) (handle, int64, error) {
	_, err := os.Stat(path)
	created := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, err
	}
	size, err := takeOver(f, created)
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

func takeOver(f *os.File, created bool) (int64, error) {
	if err := lock(f); err != nil {
		return 0, fmt.Errorf("%s is written by another process, give each its own file: %w", f.Name(), err)
	}
	if created {
		// Until its directory is on the disk, a file may vanish with its data.
		if err := syncDir(filepath.Dir(f.Name())); err != nil {
			return 0, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no regular file (%s)", f.Name(), info.Mode())
	}
	size := info.Size()
	if size == 0 {
		return 0, nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return size, nil
	}
	if _, err := f.Write([]byte("\n")); err != nil {
		return 0, fmt.Errorf("end the torn last line of %s: %w", f.Name(), err)
	}
	return size + 1, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync directory %s: %w", dir, err), d.Close())
	}
	return d.Close()
}

// setAside renames the file by the time and removes the oldest ones beyond
// maxFiles.
func (l *log) setAside() error {
	base, ext := l.nameParts()
	to := base + time.Now().UTC().Format(stampFormat) + ext
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("rotate %s: %s exists", l.path, to)
	}
	if err := os.Rename(l.path, to); err != nil {
		return err
	}
	if err := l.prune(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(l.path))
}

// nameParts are what stands before and after the time in a rotated file's path.
func (l *log) nameParts() (base, ext string) {
	ext = filepath.Ext(l.path)
	return strings.TrimSuffix(l.path, ext) + "-", ext
}

func (l *log) prune() error {
	if l.maxFiles == 0 {
		return nil
	}
	rotated, err := l.rotated()
	if err != nil {
		return err
	}
	for ; len(rotated) > l.maxFiles; rotated = rotated[1:] {
		if err := os.Remove(rotated[0]); err != nil {
			return err
		}
	}
	return nil
}

// rotated are the paths of the rotated files, oldest first. Only names that
// setAside makes are among them.
func (l *log) rotated() ([]string, error) {
	dir := filepath.Dir(l.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	base, ext := l.nameParts()
	base = filepath.Base(base)
	var out []string
	for _, e := range entries {
		stamp, ok := strings.CutPrefix(e.Name(), base)
		if !ok || !strings.HasSuffix(stamp, ext) {
			continue
		}
		if _, err := time.Parse(stampFormat, strings.TrimSuffix(stamp, ext)); err == nil {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}
