//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// report is a result file: the figures and all that is needed to repeat them.
type report struct {
	Time       time.Time `json:"time"`
	Command    string    `json:"command"`
	Commit     string    `json:"commit"`
	Durability string    `json:"durability"`
	Settings   []string  `json:"settings,omitempty"` // by -set
	Machine    machine   `json:"machine"`
	Results    []Result  `json:"results,omitempty"`
	Ratios     []Ratio   `json:"ratios,omitempty"`
	Targets    []Verdict `json:"targets,omitempty"`
	Peers      []Peer    `json:"peers,omitempty"`
	NotHere    []string  `json:"peers_not_here,omitempty"`
	Backlog    *Backlog  `json:"backlog,omitempty"`
	Replay     *Replay   `json:"replay,omitempty"`
	Noisy      *Noisy    `json:"noisy,omitempty"`
	Rules      *Rules    `json:"rules,omitempty"`
}

// Peer is a gateway that Penstock was measured beside.
type Peer struct {
	Name    string `json:"name"`
	Product string `json:"product"`
	Promise string `json:"acknowledged_means"`
	Tuned   string `json:"tuned"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func newReport(args []string, c common) *report {
	return &report{
		Time:       time.Now().UTC().Truncate(time.Second),
		Command:    strings.TrimSpace("go run ./bench " + strings.Join(args, " ")),
		Commit:     commit(),
		Durability: c.durability,
		Settings:   c.set,
		Machine: machine{
			CPU: firstLine("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
			Memory: firstLine("/proc/meminfo", "MemTotal"), Kernel: firstLine("/proc/version", ""), Go: runtime.Version(),
		},
	}
}

// add takes in what a scenario found.
func (r *report) add(o outcome) {
	r.Results = append(r.Results, o.Results...)
	r.Ratios = append(r.Ratios, o.Ratios...)
	r.Targets = append(r.Targets, o.Targets...)
	if o.Backlog != nil {
		r.Backlog = o.Backlog
	}
}

// commit names the tree; "unknown" outside of a repository.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// firstLine is what follows the prefix and a colon in its first line.
func firstLine(path, prefix string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, "\t :"))
		}
	}
	return "unknown"
}

// save writes the report into a directory, if one is named.
func (r *report) save(dir string, errs io.Writer) error {
	if dir == "" {
		return nil
	}
	path, err := r.write(dir)
	if err == nil {
		fmt.Fprintln(errs, "wrote", path)
	}
	return err
}

// write puts the report into a file named by time and commit.
// write never takes the place of another run, which may have begun in the same second.
func (r *report) write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	name, more := filepath.Join(dir, r.Time.Format("20060102T150405Z")+"-"+r.Commit), ""
	for n := 2; ; n++ {
		path := name + more + ".json"
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			more = fmt.Sprintf("-%d", n)
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(append(b, '\n'))
		return path, errors.Join(err, f.Close())
	}
}
