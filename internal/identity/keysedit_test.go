package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWritersWaitForOneAnother(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	var wg sync.WaitGroup
	const writers = 8
	for n := range writers {
		wg.Go(func() {
			err := EditKeys(t.Context(), name, func(keys []Key) ([]Key, error) {
				k, _, err := NewKey(Key{Name: fmt.Sprint(n), Roles: []string{"view"}, Created: time.Now()})
				return append(keys, k), err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	keys, err := ReadKeys(name)
	if err != nil || len(keys) != writers {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}

	// One that waits for too long says so.
	ctx, cancel := context.WithCancel(t.Context())
	err = EditKeys(t.Context(), name, func(keys []Key) ([]Key, error) {
		cancel()
		err := EditKeys(ctx, name, func(keys []Key) ([]Key, error) { return keys, nil })
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("got %v", err)
		}
		return keys, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatFailsChangesNothing(t *testing.T) {
	k, _ := newKey(t, Key{Name: "k"})
	name := keysFile(t, k)
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f := func(want string, change func([]Key) ([]Key, error)) {
		t.Helper()
		if err := EditKeys(t.Context(), name, change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		after, err := os.ReadFile(name)
		if err != nil || string(after) != string(before) {
			t.Errorf("%s: the file is %s, %v", want, after, err)
		}
		left, err := os.ReadDir(filepath.Dir(name))
		if err != nil || len(left) != 1 {
			t.Errorf("%s: left behind: %v %v", want, left, err)
		}
	}
	f("no", func([]Key) ([]Key, error) { return nil, errors.New("no") })
	f("roles is empty", func(keys []Key) ([]Key, error) { keys[0].Roles = nil; return keys, nil })
	if err := EditKeys(t.Context(), "/nonexistent/keys", nil); err == nil {
		t.Error("a directory that is not there was written to")
	}
	// A link stays one.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	if err := EditKeys(t.Context(), link, func(keys []Key) ([]Key, error) { keys[0].Name = "new"; return keys, nil }); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v %v", info, err)
	}
	if keys, err := ReadKeys(name); err != nil || keys[0].Name != "new" {
		t.Errorf("%v %v", keys, err)
	}
}

// The process that uses the keys may be of another user, or of the file's group.
func TestWhoMayReadKeysStillMay(t *testing.T) {
	k, _ := newKey(t, Key{Name: "k"})
	owner, group := os.Getuid(), os.Getgid()
	if owner == 0 { // may give files away
		owner, group = 12345, 54321
	}
	for mode, want := range map[os.FileMode]os.FileMode{0o640: 0o640, 0o644: 0o644, 0o600: 0o600, 0o666: 0o644} {
		name := keysFile(t, k)
		if err := errors.Join(os.Chown(name, owner, group), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
		if err := EditKeys(t.Context(), name, func(keys []Key) ([]Key, error) { keys[0].RevokedAt = time.Now(); return keys, nil }); err != nil {
			t.Fatal(err)
		}
		var at unix.Stat_t
		if err := unix.Stat(name, &at); err != nil {
			t.Fatal(err)
		}
		if got := os.FileMode(at.Mode) & 0o777; got != want || int(at.Uid) != owner || int(at.Gid) != group {
			t.Errorf("%o became %o of user %d and group %d, want %o of %d and %d", mode, got, at.Uid, at.Gid, want, owner, group)
		}
	}
}
