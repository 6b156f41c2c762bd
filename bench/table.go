//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table says in text what the report holds.
func (r *report) table(w io.Writer) {
	if len(r.Results) > 0 {
		r.figures(w)
		r.processes(w)
	}
	for _, x := range r.Results {
		if a := x.Whole; a != nil && a.Items > 0 {
			fmt.Fprintf(w, "%s, %s: %d items in %.1f s from the first request to the last arrival: %.0f items/s, %.2f µs/item\n", x.label(), x.System, a.Items, a.Seconds, a.Rate, a.CPU)
		}
		if x.Idle != nil {
			fmt.Fprintf(w, "%s: %d idle connections: resident %.1f MB before, %.1f MB with them\n", x.Scenario, x.Idle.Connections, float64(x.Idle.Before)/megabyte, float64(x.Idle.After)/megabyte)
		}
		if x.Disk != nil {
			fmt.Fprintf(w, "%s, %s: %.0f items/s on a schedule, %d unsent; the disk by itself takes %.2f ms for 256 KiB and fsync, p99 %.2f ms (%d)\n",
				x.Scenario, x.Variant, x.Load.Rate, x.Clients.Unsent, x.Disk.Latency.P50, x.Disk.Latency.P99, x.Disk.Syncs)
		}
	}
	if r.Backlog != nil {
		r.Backlog.say(w)
	}
	for _, x := range r.Ratios {
		fmt.Fprintf(w, "%s: %s of %s is %.2f of %s (median of %d: %.2f)\n", x.Scenario, x.What, x.Of, x.Median, x.To, len(x.Turns), x.Turns)
	}
	r.targets(w)
	fmt.Fprintf(w, "durability %s%s, commit %s, %d cores of %s\n", r.Durability, strings.Join(append([]string{""}, r.Settings...), ", "), r.Commit, r.Machine.Cores, r.Machine.CPU)
}

func (r *report) figures(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tsystem\titems/s delivered\titems/s accepted\tCPU µs/item\tpeak RSS MB\twritten B/item\tstored % of raw\traw B/item\titems/export\tp50 ms\tp99 ms\tp99.9 ms\tmax ms\tcommit p99 ms\tfailed\tduplicates\t")
	for _, x := range r.Results {
		share, commit := "–", "–"
		if x.Stored != nil {
			share = fmt.Sprintf("%.1f", 100*x.Stored.Share)
		}
		if x.Commits != nil {
			commit = fmt.Sprintf("%.1f", x.Commits.P99)
		}
		l := x.Clients.Latency
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%.0f\t%.2f\t%.0f\t%.1f\t%s\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t%d\t%d\t\n",
			x.label(), x.System, x.Delivered, x.Accepted, x.CPU, float64(x.PeakRSS)/megabyte, x.Written, share, x.RawBytes,
			x.ExportItems, l.P50, l.P99, l.P999, l.Max, commit, x.Clients.Failed, x.Proof.Duplicates)
	}
	t.Flush()
}

// processes says what each kind of process used.
func (r *report) processes(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tprocess\tCPU µs/item\tuser s\tsystem s\tRSS MB\tpeak MB\twritten MB\tsyncs\titems/sync\t")
	noted := map[string]bool{}
	for _, x := range r.Results {
		for _, name := range []string{"generator", x.System, "nats", "sink"} {
			p, ok := x.Processes[name]
			if !ok {
				continue
			}
			syncs, per := fmt.Sprint(p.Syncs), fmt.Sprintf("%.0f", p.PerFsync)
			if p.NoSyncs != "" {
				syncs, per = "–", "–"
				noted[p.NoSyncs] = name != "generator"
			}
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.1f\t%s\t%s\t\n", x.label(), name, p.PerItem, p.User, p.System,
				float64(p.RSS)/megabyte, float64(p.PeakRSS)/megabyte, float64(p.Written)/megabyte, syncs, per)
		}
	}
	t.Flush()
	for why, said := range noted {
		if said {
			fmt.Fprintln(w, "syncs", why)
		}
	}
}

// label names a result within its report.
func (x Result) label() string {
	s := x.Scenario
	if x.Variant != "" {
		s += " " + x.Variant
	}
	if x.Turn > 0 {
		s += fmt.Sprintf(" #%d", x.Turn)
	}
	return s
}

func (r *report) targets(w io.Writer) {
	if len(r.Targets) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tfigure\ttarget\tmeasured\t")
	for _, v := range r.Targets {
		bound := "≤"
		if v.AtLeast {
			bound = "≥"
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s %s\t%s\t%s\n", strings.TrimSpace(v.Scenario+" "+v.Variant), v.What, bound, figure(v.Want), v.Unit, figure(v.Got), v.Said)
	}
	t.Flush()
}

// figure prints a value without an exponent: whole where it is large.
func figure(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}
