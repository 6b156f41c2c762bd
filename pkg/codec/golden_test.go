package codec

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files that are missing; those that exist never change")

// Messages lie in queues across releases: what was written under a name decodes
// for ever (invariant I7).
func TestGoldenFilesDecodeForEver(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	file := func(name string, make func() []byte) []byte {
		path := filepath.Join(dir, name+".bin")
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && *update {
			b = make()
			if err = os.MkdirAll(dir, 0o755); err == nil {
				err = os.WriteFile(path, b, 0o644)
			}
		}
		if err != nil {
			t.Fatalf("%v (go test -update writes what is missing)", err)
		}
		return b
	}
	in := file("input", func() []byte { return payload(6<<10, 42) })
	for name, enc := range everyFormat(t, in) {
		if name == "identity" { // none by another name
			continue
		}
		enc := file(strings.ReplaceAll(name, " ", "_"), func() []byte { return enc })
		codecName, _, _ := strings.Cut(name, " ")
		if out, err := Decode(nil, codecName, enc, len(in)); err != nil || !bytes.Equal(out, in) {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
}
