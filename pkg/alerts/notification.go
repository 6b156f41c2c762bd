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
	// Told is which telling of an incident's policy this is; nil: a route leads here.
	Told *Told
	// Ack is the link with which an incident can be acknowledged; nil, and "": none.
	Ack func(incident string) string
}

// Keys are the alerts that it tells of, both lists sorted. Of an incident the telling
// itself is among those that fire.
func (n *Notification) Keys() (firing, resolved []Key) {
	for i := range n.Alerts {
		if n.Alerts[i].ResolvedAt.IsZero() {
			firing = append(firing, n.Alerts[i].Key)
		} else {
			resolved = append(resolved, n.Alerts[i].Key)
		}
	}
	if n.Told != nil && len(firing) > 0 {
		firing = append(firing, n.Told.key())
	}
	slices.Sort(firing)
	slices.Sort(resolved)
	return firing, resolved
}

// Want is what a claim is asked with. Of an incident each telling is told once,
// whatever alerts come and go meanwhile, and the end of all of them once.
func (n *Notification) Want() Want {
	w := Want{Repeat: n.Repeat, SendResolved: n.SendResolved}
	w.Firing, w.Resolved = n.Keys()
	if n.Told != nil && len(w.Firing) > 0 {
		w.Firing, w.Resolved = []Key{n.Told.key()}, nil
	}
	return w
}

// tellingPrefix begins keys that are no alerts but tellings of a policy.
const tellingPrefix = "told:"

func (t *Told) key() Key { return Key(fmt.Sprintf("%s%d", tellingPrefix, t.At.UnixNano())) }

func (k Key) isTelling() bool { return strings.HasPrefix(string(k), tellingPrefix) }
