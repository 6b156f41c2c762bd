//go:build linux

package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// From fs/ext4/ext4.h: EXT4_IOC_SHUTDOWN is _IOR('X', 125, __u32), and the flag
// says that not even the journal is flushed.
const (
	ext4Shutdown      = 0x8004587d
	ext4GoingNoFlush  = 2
	allowNoPowerCut   = "PENSTOCK_ALLOW_NO_POWERCUT"
	whyPowerCutMatter = "a durable queue that is not tested against power cuts is not known to be durable"
)

// Disk is an ext4 file system in a file, which can lose its power.
type Disk struct {
	Dir string // where it is mounted

	t       testing.TB
	image   string
	mounted bool
}

// NewDisk makes and mounts a file system; it goes with the test. It needs root
// and loop devices: where they are missing the test fails, or, with
// PENSTOCK_ALLOW_NO_POWERCUT=1, is skipped with the reason.
func NewDisk(t testing.TB, size int64) *Disk {
	t.Helper()
	dir := t.TempDir()
	d := &Disk{Dir: filepath.Join(dir, "mnt"), t: t, image: filepath.Join(dir, "disk.ext4")}
	if err := d.make(size); err != nil {
		if os.Getenv(allowNoPowerCut) == "1" {
			t.Skipf("NOT TESTED: no power can be cut here: %v", err)
		}
		t.Fatalf("no power can be cut here: %v; %s. Run as root with loop devices, or set %s=1 to go without", err, whyPowerCutMatter, allowNoPowerCut)
	}
	t.Cleanup(d.Unmount)
	return d
}

func (d *Disk) make(size int64) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("user %d may not mount", os.Geteuid())
	}
	if err := os.Mkdir(d.Dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := command("mkfs.ext4", "-q", "-F", d.image); err != nil {
		return err
	}
	return d.mount()
}

func (d *Disk) mount() error {
	if err := command("mount", "-t", "ext4", "-o", "loop", d.image, d.Dir); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

// Cut ends the power: from now on nothing reaches the disk, and what was not yet
// there is lost. Processes that use it get errors; they must be killed before
// Restore.
func (d *Disk) Cut() {
	d.t.Helper()
	dir, err := os.Open(d.Dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer dir.Close()
	flags := uint32(ext4GoingNoFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("cut the power of %s: %v", d.Dir, errno)
	}
}

// Restore mounts the disk again, which replays its journal.
func (d *Disk) Restore() {
	d.t.Helper()
	d.Unmount()
	if err := d.mount(); err != nil {
		d.t.Fatal(err)
	}
}

// Unmount may be called again.
func (d *Disk) Unmount() {
	d.t.Helper()
	if !d.mounted {
		return
	}
	if err := command("umount", d.Dir); err != nil {
		d.t.Fatalf("%v: does a process still use it?", err)
	}
	d.mounted = false
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, out)
	}
	return nil
}
