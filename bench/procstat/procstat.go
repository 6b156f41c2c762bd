//go:build linux

// Package procstat reads what the Linux kernel counts of one process, from
// proc(5). It is for measuring and testing programs from outside.
package procstat

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on
// every architecture that Go runs on under Linux.
const tick = 10 * time.Millisecond

// Usage is what a process used since it started.
type Usage struct {
	CPU       time.Duration // user and system, to 10 ms
	User      time.Duration // its parts
	System    time.Duration
	RSS       int64 // bytes resident now
	PeakRSS   int64 // bytes resident at most
	Written   int64 // bytes the process caused to be sent to storage
	Threads   int
	OpenFiles int // file descriptors
}

// Read gives the usage of a running process that this user may inspect.
func Read(pid int) (Usage, error) {
	var u Usage
	dir := "/proc/" + strconv.Itoa(pid)
	if err := readStat(dir+"/stat", &u); err != nil {
		return Usage{}, err
	}
	status, err := readFields(dir + "/status")
	if err != nil {
		return Usage{}, err
	}
	io, err := readFields(dir + "/io")
	if err != nil {
		return Usage{}, err
	}
	files, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return Usage{}, err
	}
	u.RSS, u.PeakRSS = status["VmRSS"]<<10, status["VmHWM"]<<10
	u.Written = io["write_bytes"]
	u.OpenFiles = len(files)
	return u, nil
}

// readStat takes CPU time and threads. The name of the program stands in
// parentheses and may hold anything, so fields are counted after the last one.
func readStat(path string, u *Usage) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 18 {
		return fmt.Errorf("%s has %d fields after the name, want 18 or more", path, len(fields))
	}
	var v [3]int64
	for i, at := range []int{11, 12, 17} { // utime, stime, num_threads
		if v[i], err = strconv.ParseInt(string(fields[at]), 10, 64); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	u.User, u.System, u.Threads = time.Duration(v[0])*tick, time.Duration(v[1])*tick, int(v[2])
	u.CPU = u.User + u.System
	return nil
}

// readFields reads lines of "Name: number [kB]" and leaves out all others.
func readFields(path string) (map[string]int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range bytes.Lines(b) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		words := bytes.Fields(rest)
		if len(words) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(string(words[0]), 10, 64); err == nil {
			out[string(name)] = n
		}
	}
	return out, nil
}
