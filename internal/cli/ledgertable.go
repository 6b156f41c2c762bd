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
	t.row("SIGNAL\tTO\tACCEPTED\tPENDING\tSENT\tREJECTED\tDEAD\tPURGED\tLOST")
	for _, r := range l.Signals {
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", r.Signal, squeeze(r.Destination, 10), n(r.Accepted), n(r.Pending), n(r.Exported+r.Redriven), n(r.Rejected), n(r.DeadLettered), n(r.Purged), n(r.Missing))
	}
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
	for _, text := range l.Notes {
		t.row("  note: %s", text)
	}
	if !tenants {
		return
	}
	t.head("TENANT\tSIGNAL\tTO\tACCEPTED\tSENT\tREJECTED\tDEAD\tPURGED\tOPEN")
	for _, r := range l.Tenants {
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", clip(r.Tenant, 9), r.Signal, squeeze(r.Destination, 9), n(r.Accepted), n(r.Exported+r.Redriven), n(r.Rejected), n(r.DeadLettered), n(r.Purged), n(r.Open))
	}
	if l.TenantsLeftOut > 0 {
		t.row("and %d more", l.TenantsLeftOut)
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
