package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// maxTitle and maxGroup bound the title and the group of an incident in bytes.
const (
	maxTitle = 256
	maxGroup = 1024
)

// NewID is that of an incident or a silence: later ones sort behind.
func NewID(now time.Time) string {
	return ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
}

// grouping are the labels by which a policy makes incidents; nil: all.
func grouping(p Policy) []string {
	switch {
	case len(p.GroupBy) == 0:
		return []string{"alertname"}
	case slices.Contains(p.GroupBy, "..."):
		return nil
	}
	return p.GroupBy
}

// groupOf is the group of an alert: policy and values, quoted, so that no two are
// the same text; of long ones a hash.
func groupOf(p Policy, k Key, l Labels) string {
	var b strings.Builder
	b.WriteString(strconv.Quote(p.Name))
	by := grouping(p)
	if by == nil {
		b.WriteString("/" + string(k))
	}
	for _, name := range by {
		b.WriteString(" " + strconv.Quote(name) + "=" + strconv.Quote(l.Get(name)))
	}
	if b.Len() > maxGroup {
		h := sha256.Sum256([]byte(b.String()))
		return hex.EncodeToString(h[:])
	}
	return b.String()
}

// titleOf is what people call an incident.
func titleOf(p Policy, l Labels) string {
	var parts []string
	if name := l.Get("alertname"); name != "" {
		parts = append(parts, name)
	}
	for _, name := range grouping(p) {
		if v := l.Get(name); v != "" && name != "alertname" {
			parts = append(parts, name+"="+v)
		}
	}
	return cut(strings.Join(parts, " "), maxTitle)
}
