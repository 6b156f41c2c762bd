package amnotify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// ErrPermanent is wrapped by the errors of Send that no repetition cures: the
// receiver refuses what it is told, or there is no such receiver.
var ErrPermanent = errors.New("not to be tried again")

// Send tells one integration now, within ctx. What it returns is for the Last of
// the next notification of this group. Errors name the receiver and why, without
// its credentials; one that is not ErrPermanent may be better the next time.
func (n *Notifier) Send(ctx context.Context, m alerts.Notification) (data []byte, err error) {
	i, ok := n.config.integration(m.Receiver)
	if !ok {
		return nil, fmt.Errorf("receiver %s is not in the configuration: %w", m.Receiver, ErrPermanent)
	}
	now := time.Now()
	list := make([]*alert.Alert, 0, len(m.Alerts))
	for k := range m.Alerts {
		u := upstream(&m.Alerts[k], now)
		if m.Ack != nil && m.Alerts[k].ResolvedAt.IsZero() {
			if link := m.Ack(m.Alerts[k].Incident); link != "" {
				u.Annotations["ack_url"] = modelValue(link)
			}
		}
		list = append(list, u)
	}
	key, routeLabels := n.keyOf(m)
	ctx = notify.WithGroupKey(ctx, key)
	ctx = notify.WithGroupLabels(ctx, labelSet(m.GroupLabels))
	ctx = notify.WithRouteLabels(ctx, routeLabels)
	ctx = notify.WithReceiverName(ctx, receiverOf(m.Receiver))
	ctx = notify.WithRepeatInterval(ctx, m.Repeat)
	ctx = notify.WithNotificationReason(ctx, reason(&m))
	ctx = notify.WithNow(ctx, now)
	store := nflog.NewStore(nil)
	restore(store, m.Last.Data)
	ctx = notify.WithNflogStore(ctx, store)
	again, err := i.Notify(ctx, list...)
	switch {
	case err == nil:
		return keep(store), nil
	case again || passes(err) || ctx.Err() != nil:
		return nil, fmt.Errorf("receiver %s: %w", m.Receiver, err)
	}
	return nil, fmt.Errorf("receiver %s: %w: %w", m.Receiver, err, ErrPermanent)
}

// passes tells whether an error that upstream takes for final is one of the moment: that
// there are too many notifications now (429, which most of its receivers would drop),
// or a credential that is being replaced (401, 403).
func passes(err error) bool {
	var why *notify.ErrorWithReason
	return errors.As(err, &why) && (why.Reason == notify.RateLimitedReason || why.Reason == notify.AuthErrorReason)
}

// receiverOf is the name in a ClaimKey's Receiver: name/kind/index.
func receiverOf(target string) string {
	for range 2 {
		if i := strings.LastIndexByte(target, '/'); i >= 0 {
			target = target[:i]
		}
	}
	return target
}

// storeKeys are what integrations keep for the next notification of a group.
// Upstream has no way to list them; both are Slack's, of 0.34.2.
var storeKeys = []string{"threadTs", "channelId"}

func restore(s *nflog.Store, data []byte) {
	var kept map[string]string
	if json.Unmarshal(data, &kept) != nil { // of another version: a new message is the worst of it
		return
	}
	for _, k := range storeKeys {
		if v := kept[k]; v != "" {
			s.SetStr(k, v)
		}
	}
}

func keep(s *nflog.Store) []byte {
	kept := map[string]string{}
	for _, k := range storeKeys {
		if v, ok := s.GetStr(k); ok {
			kept[k] = v
		}
	}
	if len(kept) == 0 {
		return nil
	}
	b, err := json.Marshal(kept)
	if err != nil {
		panic("BUG: texts cannot be JSON: " + err.Error())
	}
	return b
}

// reason is why it is told, as upstream words it for templates.
func reason(m *alerts.Notification) notify.NotifyReason {
	w := m.Want()
	switch {
	case len(m.Last.Firing) == 0:
		return notify.ReasonFirstNotification
	case len(w.Firing) == 0:
		return notify.ReasonAllAlertsResolved
	case !within(w.Firing, m.Last.Firing):
		return notify.ReasonNewAlertsInGroup
	case !within(w.Resolved, m.Last.Resolved):
		return notify.ReasonNewResolvedAlerts
	}
	return notify.ReasonRepeatIntervalElapsed
}

func within(a, b []alerts.Key) bool {
	set := make(map[alerts.Key]bool, len(b))
	for _, k := range b {
		set[k] = true
	}
	for _, k := range a {
		if !set[k] {
			return false
		}
	}
	return true
}
