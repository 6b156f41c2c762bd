package app

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"testing"
)

// TestReleaseImage goes on to run what was unmapped.
func TestReleaseImage(t *testing.T) {
	released, err := ReleaseImage()
	if err != nil || released < 1<<20 {
		t.Fatalf("%d bytes released, %v", released, err)
	}
	if !regexp.MustCompile(`^a+b$`).MatchString("aaab") || !bytes.Contains([]byte("code and constants"), []byte("constants")) {
		t.Error("the program is not itself any more")
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var left int64
	for _, m := range images(smaps, exe) {
		left += m.resident
	}
	if left >= released {
		t.Errorf("%d bytes are mapped again, %d were released", left, released)
	}
}

func TestImagesAreThoseThatNobodyWrote(t *testing.T) {
	const smaps = `00400000-0226a000 r-xp 00000000 fe:00 100194 /bin/p
Rss:                 100 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
0226a000-04131000 r--p 01e6a000 fe:00 100194 /bin/p
Rss:                  50 kB
Anonymous:             4 kB
04131000-04287000 rw-p 03d31000 fe:00 100194 /bin/p
Rss:                   8 kB
Anonymous:             0 kB
05000000-05001000 r--p 00000000 fe:00 100195 /lib/other
Rss:                   4 kB
Anonymous:             0 kB
7f0000000000-7f0000001000 r--s 00000000 fe:00 100194 /bin/p
Rss:                   4 kB
Anonymous:             0 kB
06000000-06001000 r--p 00000000 fe:00 100194 /bin/p
Rss:                   4 kB
Anonymous:             0 kB
Swap:                  0 kB
`
	want := []image{{0x400000, 0x226a000, 100 << 10}, {0x6000000, 0x6001000, 4 << 10}}
	if got := images([]byte(smaps), "/bin/p"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
