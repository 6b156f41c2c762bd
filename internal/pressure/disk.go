package pressure

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Bounds of the space that has to be left on the volume of an embedded queue.
const (
	leastFree = 64 << 20
	mostFree  = 10 << 30 // a tenth of a large volume is more than the queue may take
)

// Disk gives what is left for this user on the volume of a directory, and its
// size.
type Disk func() (free, size uint64, err error)

// Volume asks for the volume of dir.
func Volume(dir string) Disk {
	return func() (uint64, uint64, error) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 0, 0, fmt.Errorf("ask for the space of %s: %w", dir, err)
		}
		block := uint64(st.Bsize)
		return st.Bavail * block, st.Blocks * block, nil
	}
}

// need is the space to be left on a volume: a tenth, within bounds, and on a tiny
// one no more than a quarter.
func need(size uint64) uint64 {
	return min(max(leastFree, min(size/10, mostFree)), size/4)
}
