package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Waits after a failure: from firstWait, doubled each time, half of it at random.
const (
	firstWait = time.Second
	maxWait   = 5 * time.Minute
)

func backoff(tries int) time.Duration {
	d := min(maxWait, firstWait<<min(tries-1, 16))
	return d/2 + rand.N(d/2+1)
}

// look does what is to be done about a group now, and says when to look again; 0:
// when somebody asks.
func (d *Deliverer) look(k alerts.ClaimKey, g *group) time.Duration {
	n, ok := d.o.Group(d.sends, k)
	if !ok {
		return d.done(g)
	}
	want := n.Want()
	if d.o.Claims == nil || !d.circuit.allows() {
		return d.without(&n, want, g)
	}
	a, err := d.o.Claims.Claim(d.sends, k, want, lease)
	if d.circuit.answered(err); err != nil {
		d.said.Warn("claims", "the store of claims does not answer; alerts below the severity that is told without it wait", "fail_open_severity", string(d.o.FailOpen), "error", err)
		return d.without(&n, want, g)
	}
	if known := d.known(k); known.Token > a.Last.Token && !g.refused(known, a.Last) {
		return d.restore(k, g, a, known)
	}
	if nothing := (alerts.Sent{At: time.Now(), Token: a.Last.Token}); a.Verdict == alerts.NotNeeded && d.older(&n, a.Last) && !g.refused(nothing, a.Last) {
		return d.restore(k, g, a, nothing)
	}
	d.o.Metrics.claim(a.Verdict)
	switch a.Verdict {
	case alerts.NotNeeded:
		return d.done(g)
	case alerts.Held:
		return max(a.Wait, 10*time.Millisecond)
	}
	d.fresh.wait(d.sends, d)
	now, ok := d.o.Group(d.sends, k)
	if again := now.Want(); !ok || !slices.Equal(again.Firing, want.Firing) || !slices.Equal(again.Resolved, want.Resolved) {
		return d.giveBack(k, a.Token) // it was of yesterday
	}
	now.Last = a.Last
	return d.send(&now, g, a.Token)
}

// giveBack ends a claim of which nothing came, and has the group looked at again.
func (d *Deliverer) giveBack(k alerts.ClaimKey, token uint64) time.Duration {
	if err := d.o.Claims.Release(d.sends, k, token, 0); err != nil && !errors.Is(err, alerts.ErrLost) {
		d.circuit.answered(err)
	}
	return soon
}

// done forgets the troubles of a group.
func (d *Deliverer) done(g *group) time.Duration {
	g.tries, g.failing, g.turn = 0, false, time.Time{}
	return 0
}

// soon is the wait for a claim that is asked for again at once.
const soon = time.Millisecond

// restore tells the store what it has lost, and has it asked again.
func (d *Deliverer) restore(k alerts.ClaimKey, g *group, a alerts.Answer, known alerts.Sent) time.Duration {
	if a.Verdict == alerts.Go {
		if err := d.o.Claims.Release(d.sends, k, a.Token, 0); err != nil && !errors.Is(err, alerts.ErrLost) {
			d.circuit.answered(err)
			return soon // or when its lease ends
		}
	}
	err := d.o.Claims.Restore(d.sends, k, known)
	if d.circuit.answered(err); err == nil {
		g.restored, g.over = known.Token, a.Last.Token
		d.o.Metrics.restored.Inc()
	}
	return soon
}

// refused tells whether the store was told so and keeps what it had, as it is by its
// clock not older. One that knows nothing is told whenever it does: it may have been
// wiped again.
func (g *group) refused(known, last alerts.Sent) bool {
	return last.Token != 0 && g.restored == known.Token && g.over == last.Token
}

// clockSkew is what clocks of the log and of the store may differ by.
const clockSkew = time.Minute

// older tells whether what a store takes for told is of an earlier life of an alert:
// it was told before the alert began to fire, and the log knows of no telling since.
// Such is a store that has failed over to a copy that was behind.
func (d *Deliverer) older(n *alerts.Notification, last alerts.Sent) bool {
	if len(d.known(n.ClaimKey).Firing) > 0 {
		return false
	}
	for i := range n.Alerts {
		if a := &n.Alerts[i]; a.ResolvedAt.IsZero() && last.At.Add(clockSkew).Before(a.FiredAt) {
			return true
		}
	}
	return false
}

// known is what was sent last, as far as the log or this process knows.
func (d *Deliverer) known(k alerts.ClaimKey) alerts.Sent {
	s, _ := d.o.State.Sent(k)
	d.mu.Lock()
	defer d.mu.Unlock()
	mine, ok := d.told[k]
	switch {
	case !ok:
		return s
	case s.Token >= mine.Token:
		delete(d.told, k)
		return s
	}
	return mine.Clone()
}

// send tells it with a token that it may.
func (d *Deliverer) send(n *alerts.Notification, g *group, token uint64) time.Duration {
	ctx, cancel := context.WithTimeout(d.sends, lease*sendShare/100)
	began := time.Now()
	data, err := d.o.Send(ctx, *n)
	cancel()
	took := time.Since(began)
	final := err != nil && d.o.Final(err)
	firing, resolved := n.Keys()
	g.tries++
	event := alerts.Event{Kind: alerts.EventNotified, At: time.Now(), Tenant: n.Tenant, Notified: &alerts.Notified{
		Group: n.Group, Receiver: n.Receiver, Firing: some(firing), Resolved: some(resolved), Token: token,
		Attempt: g.tries, Millis: took.Milliseconds(), Escalation: n.Told != nil,
	}}
	switch {
	case err == nil:
		d.o.Metrics.sent(n.Receiver, outcomeSent, took)
	case final:
		event.Kind, event.Notified.Error = alerts.EventNotifyDropped, class(err)
		d.o.Metrics.sent(n.Receiver, outcomeDropped, took)
		d.o.Logger.Error("a receiver refuses a notification: it is not tried again before the repeat interval; correct the receiver",
			"receiver", n.Receiver, "group", n.Group, "firing", len(firing), "resolved", len(resolved), "error", err)
	default:
		return d.failed(n, g, token, event, took, err)
	}
	sent := alerts.Sent{Firing: firing, Resolved: resolved, At: time.Now(), Token: token, Data: data}
	d.sent(n.ClaimKey, sent)
	d.commit(n.ClaimKey, sent)
	d.record.add(event)
	return d.done(g)
}

// failed releases the claim for a while.
func (d *Deliverer) failed(n *alerts.Notification, g *group, token uint64, event alerts.Event, took time.Duration, err error) time.Duration {
	wait := backoff(g.tries)
	if d.waits.Err() != nil {
		wait = 0 // for another replica
	}
	d.o.Metrics.sent(n.Receiver, outcomeFailed, took)
	d.said.Warn("send "+n.Receiver, "a notification could not be sent; it is tried again", "receiver", n.Receiver, "group", n.Group, "attempt", g.tries, "again_in", wait, "error", err)
	if !g.failing {
		g.failing = true
		event.Kind, event.Notified.Error = alerts.EventNotifyFailed, class(err)
		d.record.add(event)
	}
	if d.o.Claims != nil && !d.circuit.open() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(d.sends), endWithin)
		defer cancel()
		if err := d.o.Claims.Release(ctx, n.ClaimKey, token, wait); err != nil && !errors.Is(err, alerts.ErrLost) {
			d.circuit.answered(err)
		}
	}
	return max(wait, soon)
}

// Ends of claims are tried a few times: else the others wait for the end of the lease
// and send again.
const (
	endTries  = 3
	endWithin = 3 * time.Second
)

// commit says that it was sent. What the store does not hear the log has: one that is
// passed over is not waited for, or a hung one would let a few be sent a second, and
// those of the next rank would take their turn.
func (d *Deliverer) commit(k alerts.ClaimKey, sent alerts.Sent) {
	if d.o.Claims == nil || d.circuit.open() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.sends), endWithin)
	defer cancel()
	for try := 1; ; try++ {
		err := d.o.Claims.Commit(ctx, k, sent.Token, sent)
		switch {
		case err == nil:
			return
		case errors.Is(err, alerts.ErrLost):
			d.o.Metrics.lost.Inc()
			return
		}
		d.circuit.answered(err)
		if try == endTries || ctx.Err() != nil || d.circuit.open() {
			d.said.Warn("commit", "the store of claims does not know that a notification was sent; it is told from the log", "receiver", k.Receiver, "group", k.Group, "error", err)
			return
		}
	}
}

// maxClass bounds the text of an error in the log.
const maxClass = 200

// class is what history keeps of an error.
func class(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "cut off"
	}
	return fmt.Sprintf("%.*s", maxClass, err.Error())
}

// maxKeys bounds each list of an event, so that it always fits into an entry of the
// log. Of a larger group the store alone knows all.
const maxKeys = 5000

func some(keys []alerts.Key) []alerts.Key { return keys[:min(len(keys), maxKeys)] }
