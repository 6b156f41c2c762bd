package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Notification is what one integration of a receiver is to be told about one group,
// as it is now. A retry asks for it anew, so it never tells of yesterday.
type Notification struct {
	ClaimKey
	GroupLabels Labels
	// Alerts are those that fire and are not muted, and those that have resolved a
	// short while ago, muted or not. Sorted by key.
	Alerts []Alert
	// Repeat is after how long the same is told again.
	Repeat       time.Duration
	SendResolved bool
	// Last is what was told before.
	Last Sent
	// Escalation says which level this is; nil: a route leads here.
	Escalation *Escalated
	// Ack is a link with which the incident can be acknowledged; "": none.
	Ack string
}

// Want is what a claim is asked with. Of an escalation the level is among what fires,
// so that each is told once, and the end once for all of them.
func (n *Notification) Want() Want {
	w := Want{Repeat: n.Repeat, SendResolved: n.SendResolved}
	for i := range n.Alerts {
		if n.Alerts[i].ResolvedAt.IsZero() {
			w.Firing = append(w.Firing, n.Alerts[i].Key)
		} else {
			w.Resolved = append(w.Resolved, n.Alerts[i].Key)
		}
	}
	if n.Escalation != nil && len(w.Firing) > 0 {
		w.Firing = append(w.Firing, levelKey(n.Escalation.Cycle, n.Escalation.Level))
	}
	slices.Sort(w.Firing)
	slices.Sort(w.Resolved)
	return w
}

// levelPrefix begins keys that are no alerts but levels of an escalation.
const levelPrefix = "level:"

func levelKey(cycle, level int) Key { return Key(fmt.Sprintf("%s%d.%d", levelPrefix, cycle, level)) }

func (k Key) isLevel() bool { return strings.HasPrefix(string(k), levelPrefix) }
