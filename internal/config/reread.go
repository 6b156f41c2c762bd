package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// rereadEvery is how often a use looks whether the files changed.
const rereadEvery = 2 * time.Second

// Reread is the last good reading of files that may change while the process
// runs: certificates, tokens, keys. It has no goroutine: whoever uses it looks,
// at most every two seconds. What cannot be read leaves the reading before in
// use, and is said once. Safe for concurrent use.
type Reread[T any] struct {
	files []string
	read  func() (T, error)
	said  func(fresh T, err error)

	mu      sync.Mutex // guards everything below
	good    T
	checked time.Time
	seen    []os.FileInfo // nil: some could not be looked at
	failure string        // the last failure, "" after a success
	rereads uint64
	failed  uint64
	now     func() time.Time
}

// NewReread reads for the first time, and fails when that does. said, which may
// be nil, is told of each later reading, and of each failure that is not the one
// before; it must not use the Reread. Empty names in files are left out.
func NewReread[T any](files []string, read func() (T, error), said func(fresh T, err error)) (*Reread[T], error) {
	r := &Reread[T]{read: read, said: said, now: time.Now}
	for _, f := range files {
		if f != "" {
			r.files = append(r.files, f)
		}
	}
	var unseen, err error
	r.seen, unseen = r.look() // before it is read: a change in between is seen later
	if r.good, err = read(); err != nil {
		return nil, err // it says what the file is for
	}
	if unseen != nil {
		return nil, unseen
	}
	r.checked = r.now()
	return r, nil
}

// Now is what is in force.
func (r *Reread[T]) Now() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.checked) >= rereadEvery {
		r.checked = now
		r.refresh()
	}
	return r.good
}

// Look is Now that looks at the files whenever the last look was: for who has
// learnt that the last reading is no good any more.
func (r *Reread[T]) Look() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checked = r.now()
	r.refresh()
	return r.good
}

// Counts tells how often the files were read anew, and how often they had changed
// and could not be used.
func (r *Reread[T]) Counts() (rereads, failures uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rereads, r.failed
}

func (r *Reread[T]) refresh() {
	seen, err := r.look()
	if err == nil && r.failure == "" && same(seen, r.seen) {
		return
	}
	// What could not be used is tried again with each look, and said once: whoever
	// gives the right to read a file changes nothing that is seen here.
	r.seen = seen
	var fresh T
	if err == nil {
		fresh, err = r.read()
	}
	if err != nil {
		if text := err.Error(); text != r.failure {
			r.failure = text
			r.failed++
			if r.said != nil {
				r.said(fresh, err)
			}
		}
		return
	}
	r.good, r.failure = fresh, ""
	r.rereads++
	if r.said != nil {
		r.said(fresh, nil)
	}
}

// look follows links, so that the swap of a directory link, by which Kubernetes
// updates a Secret, is seen too.
func (r *Reread[T]) look() ([]os.FileInfo, error) {
	seen := make([]os.FileInfo, len(r.files))
	for i, name := range r.files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		seen[i] = info
	}
	return seen, nil
}

// same tells whether nothing changed. Time and size alone may be those of another
// file that was put in the place.
func same(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

// ReadBounded reads a file of at most limit bytes; one that is no regular file,
// such as a pipe, is refused.
func ReadBounded(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: no regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, limit)
	}
	return data, nil
}
