package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/ledger"
)

// ledgerTable writes what became of everything that was accepted, in items.
func ledgerTable(t *table, l ledger.Ledger, tenants bool) {
	verdict := "it adds up"
	if !l.OK {
		verdict = "IT DOES NOT ADD UP"
	}
	t.head("LEDGER of %s ago: %s", age(l.At.Truncate(time.Millisecond)), verdict)
	t.flush()
	rowsTable(t, l.Signals)
	t.flush()
	for _, r := range l.Refused {
		if r.Refused > 0 || r.Duplicates > 0 {
			t.row("  %s: %d refused%s, %d duplicates", r.Signal, r.Refused, reasons(r.Reasons), r.Duplicates)
		}
	}
	for _, r := range l.Signals {
		if r.PossibleDuplicates > 0 {
			t.row("  %s to %s: %d may have been exported twice", r.Signal, r.Destination, r.PossibleDuplicates)
		}
	}
	for _, u := range l.Unrouted {
		t.row("  %s: %d wanted by no destination, kept for replay alone", u.Signal, u.Items)
	}
	for _, text := range l.Notes {
		t.row("  note: %s", text)
	}
	if !tenants {
		return
	}
	tenantsTable(t, l.Tenants)
	if l.TenantsLeftOut > 0 {
		t.row("and %d more", l.TenantsLeftOut)
	}
}

// rowsTable has the sums of each signal and destination. Who has no routes sees no
// column for them, and with it what is lost has one only where something is.
func rowsTable(t *table, all []ledger.Row) {
	routes := slices.ContainsFunc(all, func(r ledger.Row) bool { return r.Unwanted > 0 })
	lost := slices.ContainsFunc(all, func(r ledger.Row) bool { return r.Missing > 0 })
	width := 10
	head := "SIGNAL\tTO\tACCEPTED\tPENDING\tSENT\tREJECTED\tDEAD\tPURGED"
	if routes {
		head, width = head+"\tUNWANTED", 8
	}
	if lost || !routes {
		head += "\tLOST"
	}
	if lost && routes {
		width = 3
	}
	t.row("%s", head)
	for _, r := range all {
		row := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", r.Signal, squeeze(r.Destination, width), n(r.Accepted), n(r.Pending), n(r.Exported+r.Redriven), n(r.Rejected), n(r.DeadLettered), n(r.Purged))
		if routes {
			row += "\t" + n(r.Unwanted)
		}
		if lost || !routes {
			row += "\t" + n(r.Missing)
		}
		t.row("%s", row)
	}
}

// tenantsTable has the same of each tenant.
func tenantsTable(t *table, all []ledger.Tenant) {
	routes := slices.ContainsFunc(all, func(r ledger.Tenant) bool { return r.Unwanted > 0 })
	head, tenant, to := "TENANT\tSIGNAL\tTO\tACCEPTED\tSENT\tREJECTED\tDEAD\tPURGED\tOPEN", 9, 9
	if routes {
		head, tenant, to = head+"\tUNWANTED", 6, 5
	}
	t.head("%s", head)
	for _, r := range all {
		row := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", clip(r.Tenant, tenant), r.Signal, squeeze(r.Destination, to), n(r.Accepted), n(r.Exported+r.Redriven), n(r.Rejected), n(r.DeadLettered), n(r.Purged), n(r.Open))
		if routes {
			row += "\t" + n(r.Unwanted)
		}
		t.row("%s", row)
	}
}

// n is a number of items that fits a column.
func n(items uint64) string { return count(float64(items)) }

// reasons of refusals, the most frequent first.
func reasons(of map[string]uint64) string {
	var all []string
	for _, name := range slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) }) {
		all = append(all, fmt.Sprintf("%s %d", name, of[name]))
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}
