package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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

// tenantsTable has the same of each tenant, the largest first, with its rows
// together. What is nowhere has no column: the room is for the names, since two
// tenants that look alike are no use.
func tenantsTable(t *table, all []ledger.Tenant) {
	columns := tenantColumns(all)
	room := 80 - width("SIGNAL", all, func(r ledger.Tenant) string { return r.Signal }) - 2*(len(columns)+2)
	head := "TENANT\tSIGNAL\tTO"
	for _, c := range columns {
		head += "\t" + c.name
		room -= width(c.name, all, func(r ledger.Tenant) string { return n(c.of(r)) })
	}
	tenant := width("TENANT", all, func(r ledger.Tenant) string { return r.Tenant })
	to := width("TO", all, func(r ledger.Tenant) string { return r.Destination })
	tenant = min(tenant, max(room/2, room-to, 6))
	to = min(to, max(room-tenant, 5))
	t.head("%s", head)
	for _, r := range together(all) {
		row := fmt.Sprintf("%s\t%s\t%s", squeeze(r.Tenant, tenant), r.Signal, squeeze(r.Destination, to))
		for _, c := range columns {
			row += "\t" + n(c.of(r))
		}
		t.row("%s", row)
	}
}

// tenantColumn is a number of each tenant.
type tenantColumn struct {
	name string
	of   func(ledger.Tenant) uint64
}

// tenantColumns are those that say something of any tenant.
func tenantColumns(all []ledger.Tenant) (out []tenantColumn) {
	for _, c := range []tenantColumn{
		{"ACCEPTED", func(r ledger.Tenant) uint64 { return r.Accepted }},
		{"SENT", func(r ledger.Tenant) uint64 { return r.Exported + r.Redriven }},
		{"REJECTED", func(r ledger.Tenant) uint64 { return r.Rejected }},
		{"DEAD", func(r ledger.Tenant) uint64 { return r.DeadLettered }},
		{"PURGED", func(r ledger.Tenant) uint64 { return r.Purged }},
		{"OPEN", func(r ledger.Tenant) uint64 { return r.Open }},
		{"UNWANTED", func(r ledger.Tenant) uint64 { return r.Unwanted }},
	} {
		always := c.name == "ACCEPTED" || c.name == "SENT" || c.name == "OPEN"
		if always || slices.ContainsFunc(all, func(r ledger.Tenant) bool { return c.of(r) > 0 }) {
			out = append(out, c)
		}
	}
	return out
}

// together has the rows of each tenant in one place: that of its first one.
func together(all []ledger.Tenant) []ledger.Tenant {
	place := map[string]int{}
	for i, r := range all {
		if _, known := place[r.Tenant]; !known {
			place[r.Tenant] = i
		}
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b ledger.Tenant) int {
		return cmp.Or(place[a.Tenant]-place[b.Tenant], cmp.Compare(a.Signal, b.Signal), cmp.Compare(a.Destination, b.Destination))
	})
}

// width is that of the column of a text, in characters.
func width(head string, all []ledger.Tenant, text func(ledger.Tenant) string) int {
	w := len(head)
	for _, r := range all {
		w = max(w, utf8.RuneCountInString(text(r)))
	}
	return w
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
