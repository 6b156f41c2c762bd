//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report is a result file: the figures and all that is needed to repeat them.
type report struct {
	Time       time.Time `json:"time"`
	Command    string    `json:"command"`
	Commit     string    `json:"commit"`
	Durability string    `json:"durability"`
	Machine    machine   `json:"machine"`
	Results    []Result  `json:"results,omitempty"`
	Backlog    *Backlog  `json:"backlog,omitempty"`
	Replay     *Replay   `json:"replay,omitempty"`
	Noisy      *Noisy    `json:"noisy,omitempty"`
	Rules      *Rules    `json:"rules,omitempty"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func newReport(args []string, o options, results []Result) report {
	return report{
		Time:       time.Now().UTC().Truncate(time.Second),
		Command:    strings.TrimSpace("go run ./bench " + strings.Join(args, " ")),
		Commit:     commit(),
		Durability: o.durability,
		Machine: machine{
			CPU: firstLine("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
			Memory: firstLine("/proc/meminfo", "MemTotal"), Kernel: firstLine("/proc/version", ""), Go: runtime.Version(),
		},
		Results: results,
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

func (r report) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\titems/s delivered\titems/s accepted\tCPU µs/item\tpeak RSS MiB\twritten B/item\traw B/item\titems/export\tp50 ms\tp99 ms\tfailed\tduplicates\tgen, sink µs/item\t")
	for _, x := range r.Results {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f\t%.0f\t%.1f\t%.0f\t%.0f\t%.1f\t%.1f\t%d\t%d\t%.2f, %.2f\t\n",
			x.Scenario.Name, x.Delivered, x.Accepted, x.CPUMicros, float64(x.PeakRSS)/(1<<20), x.Written, x.RawBytes,
			x.ExportItems, x.Latency.P50, x.Latency.P99, x.Latency.Failed, x.Proof.Duplicates, x.GeneratorCPU, x.SinkCPU)
	}
	t.Flush()
	fmt.Fprintf(w, "durability %s, commit %s, %d cores of %s\n", r.Durability, r.Commit, r.Machine.Cores, r.Machine.CPU)
}

// write puts the report into a file named by time and commit.
func (r report) write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, r.Time.Format("20060102T150405Z")+"-"+r.Commit+".json")
	return path, os.WriteFile(path, append(b, '\n'), 0o644)
}
