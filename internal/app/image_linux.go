package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ReleaseImage unmaps the pages of the executable that are mapped now, its code and
// constants: the start touches twice as many as what follows, and the kernel maps 16
// for each that is touched. They stay in the page cache, and what is needed comes
// back by itself. It returns how many bytes were unmapped. Only read-only mappings of
// the executable's own file are touched of which no page was ever written, so that
// nothing can be lost.
func ReleaseImage() (released int64, err error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	for _, m := range images(smaps, exe) {
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, fmt.Errorf("madvise %x-%x of %s: %w", m.from, m.to, exe, errno))
			continue
		}
		released += m.resident
	}
	return released, err
}

type image struct {
	from, to uintptr
	resident int64
}

// images are the read-only mappings of a file without pages of the process's own, from
// the text of /proc/PID/smaps (proc(5)).
func images(smaps []byte, file string) (out []image) {
	var m image
	var want bool
	flush := func() {
		if want {
			out = append(out, m)
		}
		want = false
	}
	for s := bufio.NewScanner(bytes.NewReader(smaps)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) >= 5 && strings.Contains(f[0], "-") && len(f[1]) == 4 {
			flush()
			var from, to uint64
			if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
				continue
			}
			m = image{from: uintptr(from), to: uintptr(to)}
			want = len(f) == 6 && f[5] == file && f[1][0] == 'r' && f[1][1] == '-' && f[1][3] == 'p'
			continue
		}
		if len(f) < 2 {
			continue
		}
		kb, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "Rss:":
			m.resident = kb << 10
		case "Anonymous:", "Swap:":
			want = want && kb == 0
		}
	}
	flush()
	return out
}
