package identity

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often a request looks at the keys file.
const lookEvery = 2 * time.Second

// keyStore has the keys of a file. It has no goroutine: a request looks, and one
// of them reads while the others go on with what was read before.
type keyStore struct {
	name    string
	log     *slog.Logger
	metrics *Metrics
	entries atomic.Pointer[map[string]*keyEntry] // by id; never changed after it was stored
	looked  atomic.Int64                         // unix nanoseconds

	mu      sync.Mutex  // guards everything below
	seen    fs.FileInfo // of the last reading, good or bad; nil: there was no file
	failure string      // of the last look, "" when it was good
}

func newKeyStore(name string, now time.Time, log *slog.Logger, m *Metrics) (*keyStore, error) {
	s := &keyStore{name: name, log: log, metrics: m}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("keys file: %w; penstock keys create makes it", err)
	}
	s.seen = info
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("keys file: %w", err)
	}
	s.looked.Store(now.UnixNano())
	return s, nil
}

func (s *keyStore) read() error {
	keys, err := ReadKeys(s.name)
	if err != nil {
		return err
	}
	entries := make(map[string]*keyEntry, len(keys))
	for _, k := range keys {
		e, err := entry(k)
		if err != nil {
			return fmt.Errorf("%s: key %s: %w", s.name, k.ID, err)
		}
		entries[k.ID] = e
	}
	s.entries.Store(&entries)
	return nil
}

// judge finds who a key stands for.
func (s *keyStore) judge(key string, now time.Time) (*Identity, *Failure) {
	s.look(now)
	id, secret, ok := splitKey(key)
	if !ok {
		return nil, malformed("this begins like an API key of Penstock and is none: want " + keyForm)
	}
	e := (*s.entries.Load())[id]
	if e == nil {
		return nil, &Failure{Kind: FailUnknown, Message: unknownKey, Subject: subject("key:" + id)}
	}
	return e.judge(secret, now)
}

// look reads the file again if it changed, or could not be used: whoever gives the
// right to read it changes nothing that is seen here. What cannot be read leaves the
// keys as they were, and is said once.
func (s *keyStore) look(now time.Time) {
	last := s.looked.Load()
	if since := now.UnixNano() - last; since >= 0 && since < int64(lookEvery) || !s.looked.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.name) // follows links: the swap of a directory link, as Kubernetes does it, is seen
	if err != nil {
		s.seen = nil
		s.failed(err)
		return
	}
	if s.failure == "" && s.seen != nil && os.SameFile(info, s.seen) && info.ModTime().Equal(s.seen.ModTime()) && info.Size() == s.seen.Size() {
		return
	}
	s.seen = info
	if err := s.read(); err != nil {
		s.failed(err)
		return
	}
	s.failure = ""
	s.log.Info("keys file read again", "file", s.name, "keys", len(*s.entries.Load()))
}

func (s *keyStore) failed(err error) {
	if s.failure == err.Error() {
		return
	}
	s.failure = err.Error()
	s.metrics.keysFailed.Inc()
	s.log.Error("keys file changed and cannot be used; the keys read before stay in use", "file", s.name, "error", err)
}

// states counts the keys.
func (s *keyStore) states(now time.Time) map[string]int {
	n := map[string]int{KeyActive: 0, KeyExpired: 0, KeyRevoked: 0}
	for _, e := range *s.entries.Load() {
		n[e.key.State(now)]++
	}
	return n
}
