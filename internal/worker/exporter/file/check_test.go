package file

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckPath(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(path, want string) {
		t.Helper()
		if got := fmt.Sprint(CheckPath(path)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", path, got, want)
		}
	}
	f("out.jsonl", "<nil>") // beside the process
	f(there, "<nil>")
	f(dir+"/new", "<nil>")
	f(dir, fmt.Sprintf("is %q, a directory: name a file in it", dir))
	f(dir+"/none/x", fmt.Sprintf("is %q: the directory %s/none does not exist; make it, or name another", dir+"/none/x", dir))
	f(there+"/x", fmt.Sprintf("is %q: %s is no directory; name another", there+"/x", there))
	f("http://u:s3cret@host/x", "is a URL: protocol file wants the path of a file")
}
