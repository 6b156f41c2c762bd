package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/janitor"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/role"
)

// table writes tables whose columns are their own: at most 80 characters wide
// with names and numbers of usual length.
type table struct {
	w   io.Writer
	t   *tabwriter.Writer
	err error
}

func newTable(w io.Writer) *table { return &table{w: w, t: tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)} }

func (t *table) row(format string, args ...any) { fmt.Fprintf(t.t, format+"\n", args...) } //nolint:errcheck // flush tells

// head begins a table with its own columns.
func (t *table) head(format string, args ...any) {
	t.flush()
	t.row("\n"+format, args...)
}

func (t *table) flush() {
	if err := t.t.Flush(); t.err == nil {
		t.err = err
	}
}

// statusTable writes a status for people.
func statusTable(w io.Writer, s api.Status, tenants bool) error {
	t := newTable(w)
	t.row("%s\t%s\tfor %s\t%s", s.Name, s.Phase, seconds(s.UptimeSeconds), s.Build.Version)
	for _, p := range s.Problems {
		t.flush()
		t.row("  ✗ %s", p)
	}
	if s.Queue != nil {
		streamsTable(t, s)
	}
	destinationsTable(t, s.Destinations)
	processesTable(t, s.Processes)
	disksTable(t, s.Disks)
	if s.Ledger != nil {
		ledgerTable(t, *s.Ledger, tenants)
	}
	if len(s.Jobs) > 0 {
		t.flush()
		t.row("")
		t.flush()
		if err := jobsTable(w, api.Jobs{Jobs: s.Jobs}); err != nil {
			return err
		}
	}
	for _, section := range s.Sections {
		if err := sectionTable(t, section); err != nil {
			return err
		}
	}
	t.flush()
	return t.err
}

// streamsTable has what each stream holds.
func streamsTable(t *table, s api.Status) {
	t.head("STREAM\tMESSAGES\tITEMS\tBYTES\tUSED\tIN/S\tOLDEST WAITING")
	for _, x := range s.Queue.Streams {
		used := "–"
		if x.MaxBytes > 0 {
			used = fmt.Sprintf("%.1f %%", 100*float64(x.Bytes)/float64(x.MaxBytes))
		}
		oldest := 0.0
		for _, l := range s.Queue.Lags {
			if l.Stream == x.Name {
				oldest = max(oldest, l.OldestAge)
			}
		}
		t.row("%s\t%d\t%s\t%s\t%s\t%s\t%s", strings.TrimPrefix(x.Name, "PENSTOCK_"), x.Messages, optional(x.Items), size(float64(x.Bytes)), used, perSecond(x.InItems), wait(oldest))
	}
}

// destinationsTable has one row a destination and stream that it has not all of,
// and below it what is to be known of it.
func destinationsTable(t *table, all []api.Destination) {
	if len(all) == 0 {
		return
	}
	t.head("DESTINATION\tSTREAM\tMESSAGES\tITEMS\tLAG\tOUT/S\tDRAINED IN")
	for _, d := range all {
		shown := 0
		for _, l := range d.Lags {
			if l.Pending == 0 && l.InFlight == 0 {
				continue
			}
			shown++
			t.row("%s\t%s\t%d\t%s\t%s\t%s\t%s", clip(d.Name, 18), strings.TrimPrefix(l.Stream, "PENSTOCK_"), l.Pending+uint64(max(0, l.InFlight)), optional(l.Items), wait(l.OldestAge), perSecond(l.OutItems), drain(l))
		}
		if shown == 0 {
			t.row("%s\tall\t0\t0\t–\t%s\t–", clip(d.Name, 18), perSecond(sumOut(d.Lags)))
		}
	}
	t.flush()
	for _, d := range all {
		t.row("  %s", destinationLine(d))
	}
}

// destinationLine says how a destination is, in a line or two.
func destinationLine(d api.Destination) string {
	if len(d.Workers) == 0 {
		return folded(d.Name+": no running worker has it; "+orphaned(d.Name), 76, 4, "\n    ")
	}
	parts := []string{d.Name + ": " + d.Protocol, "breaker " + or(d.Breaker, "none")}
	if d.Breaker == "open" && d.BreakerUntil != nil {
		parts[1] += " until " + d.BreakerUntil.UTC().Format(time.TimeOnly)
	}
	if d.Pool.Open > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d connections ready", d.Pool.Ready, d.Pool.Open))
	}
	parts = append(parts, fmt.Sprintf("%d in flight", d.InFlight))
	if len(d.Workers) > 1 {
		parts = append(parts, fmt.Sprintf("%d workers", len(d.Workers)))
	}
	text := wrap(parts, 78, "\n    ")
	if e := ails(d); e != nil {
		text += "\n    " + folded(ailment(d.Name, e), 76, 8, "\n    ")
	}
	return text
}

// wrap joins parts by commas, and begins a line where one would be too long.
func wrap(parts []string, width int, line string) string {
	text, used := parts[0], len(parts[0])
	for _, p := range parts[1:] {
		if used += len(p) + 2; used > width {
			text, used = text+","+line+p, len(line)+len(p)
			continue
		}
		text += ", " + p
	}
	return text
}

func processesTable(t *table, all []fleet.Sighting) {
	if len(all) == 0 {
		return
	}
	t.head("PROCESS\tHOST\tSTATE\tUP\tMEMORY\tCPUS\tVERSION")
	for _, p := range all {
		state := string(p.State)
		if p.State == fleet.Alive {
			if state = "ready"; !p.Ready {
				state = "not ready"
			}
		}
		memory, cpus := "–", "–"
		if r := p.Resources; r != nil {
			memory, cpus = size(float64(r.MemoryBytes)), fmt.Sprintf("%.2f", r.CPUs)
		}
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s", p.Role, clip(p.Host, 18), state, age(p.StartedAt), memory, cpus, clip(p.Version, 16))
	}
}

func disksTable(t *table, all []api.Disk) {
	if len(all) == 0 {
		return
	}
	t.head("DISK\tHOST\tFREE\tSIZE\tUSED")
	for _, d := range all {
		used := "–"
		if d.Total > 0 {
			used = fmt.Sprintf("%.1f %%", 100-100*float64(d.Free)/float64(d.Total))
		}
		t.row("%s\t%s\t%s\t%s\t%s", clip(d.Path, 34), clip(d.Host, 18), size(float64(d.Free)), size(float64(d.Total)), used)
	}
}

// sectionTable writes what a process says of itself beside the whole.
func sectionTable(t *table, section admin.Section) error {
	switch {
	case section.Error != "":
		t.head("%s: %s", strings.ToUpper(section.Name), section.Error)
	case section.Name == "totals":
		return totalsTable(t, section.Data)
	case section.Name == "alerter":
		return alerterTable(t, section.Data)
	case section.Name == "retention":
		return retentionTable(t, section.Data)
	case section.Name == "configuration":
		return configurationTable(t, section.Data)
	}
	return nil
}

func totalsTable(t *table, data json.RawMessage) error {
	var totals []role.Totals
	if err := json.Unmarshal(data, &totals); err != nil {
		return fmt.Errorf("read the totals: %w", err)
	}
	t.head("THIS PROCESS\tACCEPTED\tREFUSED\tEXPORTED\tREJECTED\tDEAD-LETTERED")
	for _, x := range totals {
		t.row("%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f", x.Signal, x.Accepted, x.Refused, x.Exported, x.Rejected, x.DeadLettered)
	}
	return nil
}

func retentionTable(t *table, data json.RawMessage) error {
	var v janitor.View
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("read the state of the janitor: %w", err)
	}
	if v.Error != "" {
		t.head("RETENTION: the last round failed: %s", v.Error)
	}
	if !v.Leader {
		return nil
	}
	t.head("KEPT FOR REPLAY\tEXPORTED UP TO\tWAITS FOR\tKEPT")
	for _, s := range v.Streams {
		row := fmt.Sprintf("%s\t%d\t%s\t%s", strings.TrimPrefix(s.Name, "PENSTOCK_"), s.Floor, clip(strings.TrimPrefix(s.HeldBy, "export-"), 20), wait(s.Kept))
		switch {
		case len(s.Missing) > 0:
			row += "\tnot purged: consumers missing"
		case s.Blocked:
			row += "\tnearly full, not exported"
		case s.Shortened:
			row += "\tshort of space"
		}
		t.row("%s", row)
	}
	return nil
}

func optional(n *uint64) string {
	if n == nil {
		return "–"
	}
	return count(float64(*n))
}

func perSecond(rate *float64) string {
	if rate == nil {
		return "–"
	}
	return count(*rate)
}

// wait is seconds, – for none.
func wait(s float64) string {
	if s <= 0 {
		return "–"
	}
	return seconds(s)
}

// drain is the time until a destination has all.
func drain(l queuewatch.Lag) string {
	switch {
	case l.Drain == nil && l.OutItems == nil:
		return "–"
	case l.Drain == nil:
		return "not less"
	}
	return seconds(*l.Drain)
}

func sumOut(lags []queuewatch.Lag) *float64 {
	var sum *float64
	for _, l := range lags {
		if l.OutItems != nil {
			if sum == nil {
				sum = new(float64)
			}
			*sum += *l.OutItems
		}
	}
	return sum
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
