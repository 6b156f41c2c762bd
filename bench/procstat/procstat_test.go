//go:build linux

package procstat

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReadSelf(t *testing.T) {
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 8<<20)
	for i := range block {
		block[i] = byte(i)
	}
	if _, err := f.Write(block); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		sum++
	}
	after, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after.CPU <= before.CPU {
		t.Errorf("CPU went from %s to %s after %d turns", before.CPU, after.CPU, sum)
	}
	if after.RSS < 8<<20 || after.PeakRSS < after.RSS || after.Threads < 1 {
		t.Errorf("resident %d, peak %d, threads %d", after.RSS, after.PeakRSS, after.Threads)
	}
	if after.OpenFiles <= before.OpenFiles || after.Written < before.Written {
		t.Errorf("open files %d then %d, written %d then %d", before.OpenFiles, after.OpenFiles, before.Written, after.Written)
	}
}

func TestReadOfNoProcess(t *testing.T) {
	if u, err := Read(1 << 30); err == nil {
		t.Errorf("a process that cannot exist used %+v", u)
	}
}

func TestNameOfTheProgramMayHoldAnything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	line := "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 99"
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	var u Usage
	if err := readStat(path, &u); err != nil {
		t.Fatal(err)
	}
	if u.CPU != 3*time.Second || u.User != 2500*time.Millisecond || u.System != 500*time.Millisecond || u.Threads != 7 {
		t.Errorf("read %s and %d threads, want 3s and 7", u.CPU, u.Threads)
	}
	for _, bad := range []string{"12 (a) S 1", "12 (a) S 1 2 3 4 5 6 7 8 9 10 x 50 0 0 20 0 7 0 99"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := readStat(path, &u); err == nil {
			t.Errorf("%q was read without error", bad)
		}
	}
}
