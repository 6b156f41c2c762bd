package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CheckPath says what is wrong with a path at which no file can be made, as it
// reads on from the name of the setting. It makes nothing. A URL may hold a key
// and is not repeated.
func CheckPath(path string) error {
	if strings.Contains(path, "://") {
		return errors.New("is a URL: protocol file wants the path of a file")
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("is %q: the directory %s does not exist; make it, or name another", path, dir)
	case err == nil && !info.IsDir():
		return fmt.Errorf("is %q: %s is no directory; name another", path, dir)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("is %q, a directory: name a file in it", path)
	}
	return nil
}
