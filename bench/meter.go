//go:build linux

package main

import (
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/bench/procstat"
	"github.com/penstock-otel/penstock/bench/syncs"
)

// Process is what one process, or several of a kind, did in a window. Memory is
// that at its end, and the most since its start.
type Process struct {
	User     float64 `json:"cpu_user_seconds"`
	System   float64 `json:"cpu_system_seconds"`
	PerItem  float64 `json:"cpu_us_per_item"`
	RSS      int64   `json:"rss_bytes"`
	PeakRSS  int64   `json:"peak_rss_bytes"`
	Written  int64   `json:"written_bytes"` // sent to storage
	Syncs    uint64  `json:"syncs"`         // fsync and fdatasync
	NoSyncs  string  `json:"syncs_not_counted,omitempty"`
	PerFsync float64 `json:"items_per_sync,omitempty"`
}

// meter reads processes of a kind.
type meter struct {
	pids    []int
	counter []*syncs.Counter
	noSyncs error // why syncs are not counted
}

var errSyncsOff = errors.New("-syncs=false")

func newMeter(count bool, pids ...int) *meter {
	m := &meter{pids: pids}
	if !count {
		m.noSyncs = errSyncsOff
		return m
	}
	for _, pid := range pids {
		c, err := syncs.Open(pid)
		if err != nil {
			m.noSyncs = err
			return m
		}
		m.counter = append(m.counter, c)
	}
	return m
}

func (m *meter) close() error {
	var all []error
	for _, c := range m.counter {
		all = append(all, c.Close())
	}
	m.counter = nil
	return errors.Join(all...)
}

// reading is the sum over the processes of a meter.
type reading struct {
	procstat.Usage
	syncs uint64
}

func (m *meter) read() (r reading, err error) {
	for _, pid := range m.pids {
		u, err := procstat.Read(pid)
		if err != nil {
			return r, err
		}
		r.User += u.User
		r.System += u.System
		r.CPU += u.CPU
		r.RSS += u.RSS
		r.PeakRSS += u.PeakRSS
		r.Written += u.Written
		r.OpenFiles += u.OpenFiles
	}
	if m.noSyncs != nil {
		return r, nil
	}
	for _, c := range m.counter {
		n, err := c.Read()
		if err != nil {
			return r, fmt.Errorf("count syncs: %w", err)
		}
		r.syncs += n.Durable()
	}
	return r, nil
}

// process is what happened between two readings, in which items went through.
func (m *meter) process(a, b reading, items float64) Process {
	p := Process{
		User: (b.User - a.User).Seconds(), System: (b.System - a.System).Seconds(),
		RSS: b.RSS, PeakRSS: b.PeakRSS, Written: b.Written - a.Written, Syncs: b.syncs - a.syncs,
	}
	if items > 0 {
		p.PerItem = (p.User + p.System) * 1e6 / items
	}
	switch {
	case m.noSyncs != nil:
		p.NoSyncs = "not counted: " + m.noSyncs.Error()
	case p.Syncs > 0:
		p.PerFsync = items / float64(p.Syncs)
	}
	return p
}
