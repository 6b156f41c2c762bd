package hindsight

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// units are the ends of names that say one.
var units = []string{"seconds", "milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "bytes", "kilobytes", "kibibytes", "megabytes", "mebibytes", "ratio", "percent"}

// instead names a metric that came and may be meant.
func (c *check) instead(series string) string {
	want, part := series, ""
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(series, suffix); ok {
			want, part = base, suffix
			break
		}
	}
	if m, ok := c.seen[want]; ok && part != "" { // one that is stored whole
		return fmt.Sprintf("; %s is an exponential histogram, which has no %s: use histogram_quantile, histogram_count or histogram_sum on it", m.name, part)
	}
	stem := stemOf(want)
	best, least := "", 1<<30
	for _, name := range slices.Sorted(maps.Keys(c.seen)) {
		if stemOf(name) == stem {
			m := c.seen[name]
			return fmt.Sprintf("; %s (unit %q) comes as %s", m.name, m.unit, name)
		}
		d := distance(want, name, least)
		if strings.HasPrefix(name, want+"_") || strings.HasPrefix(want, name+"_") {
			d = min(d, 1)
		}
		if d < least {
			best, least = name, d
		}
	}
	if best == "" || least > max(2, len(want)/5) {
		return ""
	}
	return fmt.Sprintf("; is %s meant?", best)
}

// stemOf is a name without what says its unit and that it is a counter.
func stemOf(name string) string {
	name = strings.TrimSuffix(name, "_total")
	if i := strings.LastIndexByte(name, '_'); i > 0 && slices.Contains(units, name[i+1:]) {
		name = name[:i]
	}
	return name
}

// distance is how many letters make one text of the other, or limit if as many or
// more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for i := range row {
		row[i] = i
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, before+1)
		}
	}
	return min(row[len(b)], limit)
}
