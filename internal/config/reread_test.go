package config

import (
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Of another file in its place with the same time and size the new content is
// read.
func TestRereadOfAFileThatLooksTheSame(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	put(t, path, "one")
	put(t, other, "two")
	at := time.Now().Add(-time.Hour)
	for _, p := range []string{path, other} {
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewReread([]string{path, ""}, func() (string, error) { b, err := ReadBounded(path, 10); return string(b), err }, nil)
	if err != nil {
		t.Fatal(err)
	}
	move(t, other, path)
	if got := r.Now(); got != "one" {
		t.Errorf("it looked just now, and is %q", got)
	}
	if got := r.Look(); got != "two" {
		t.Errorf("is %q, want two", got)
	}
}

func TestRereadSaysEachFailureOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	put(t, path, "good")
	var said []string
	r, err := NewReread([]string{path}, func() (string, error) {
		b, err := ReadBounded(path, 10)
		if err == nil && len(b) == 0 {
			err = errors.New("empty")
		}
		return string(b), err
	}, func(fresh string, err error) {
		if err != nil {
			fresh = err.Error()
		}
		said = append(said, fresh)
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(want ...string) {
		t.Helper()
		for range 3 {
			if got := r.Look(); got != "good" {
				t.Errorf("is %q, want the last good one", got)
			}
		}
		if len(said) != len(want) {
			t.Fatalf("said %q, want %q", said, want)
		}
		for i := range want {
			if !strings.Contains(said[i], want[i]) {
				t.Errorf("said %q, want %q", said[i], want[i])
			}
		}
	}
	f()
	put(t, path, "")
	f("empty")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f("empty", "no such file")
	put(t, path, strings.Repeat("x", 11))
	f("empty", "no such file", "larger than 10 bytes")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	f("empty", "no such file", "larger than 10 bytes", "no regular file")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	put(t, path, "good")
	f("empty", "no such file", "larger than 10 bytes", "no regular file", "good")
	if rereads, failures := r.Counts(); rereads != 1 || failures != 4 {
		t.Errorf("%d rereads, %d failures, want 1 and 4", rereads, failures)
	}
}

// A file that could not be read is read when it can be, though it looks the same:
// a change of its owner or mode leaves its size and time.
func TestRereadTriesAgainWhatFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	put(t, path, "one")
	denied := false
	said := 0
	r, err := NewReread([]string{path}, func() (string, error) {
		if denied {
			return "", os.ErrPermission
		}
		b, err := ReadBounded(path, 10)
		return string(b), err
	}, func(string, error) { said++ })
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, "three")
	denied = true
	for range 3 {
		if got := r.Look(); got != "one" || said != 1 {
			t.Errorf("is %q and was said %d times, want the last good one, said once", got, said)
		}
	}
	denied = false
	for range 3 {
		if got := r.Look(); got != "three" || said != 2 {
			t.Errorf("is %q and was said %d times, want three, said once", got, said)
		}
	}
}

func TestRereadFailsAtFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	f := func(readErr error, want string) {
		t.Helper()
		if _, err := NewReread([]string{path}, func() (string, error) { return "", readErr }, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(errors.New("bad"), "bad")
	f(nil, "no such file")
	put(t, path, "x")
	f(errors.New("bad"), "bad")
}

// Many handshakes while the files change again and again: each gets a whole pair.
func TestRereadConcurrently(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	crt, key := ca.issue(t, dir, "server", "0")
	r, err := openMaterial(crt, key, "", TLSUse{})
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c := r.Look().cert; !c.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(c.PrivateKey.(*ecdsa.PrivateKey).Public()) {
					t.Error("a certificate with the key of another")
				}
			}
		})
	}
	for i := range 20 {
		ca.issue(t, dir, "server", string(rune('a'+i)))
	}
	close(stop)
	users.Wait()
	if got := r.Look().cert.Leaf.Subject.CommonName; got != "t" {
		t.Errorf("serves %q at the end, want t", got)
	}
}
