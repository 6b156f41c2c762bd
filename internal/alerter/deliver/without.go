package deliver

import (
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// without goes by what the log knows, while there is no store that answers: replicas
// one after another, so that the first has said it before the next looks.
func (d *Deliverer) without(n *alerts.Notification, want alerts.Want, g *group) time.Duration {
	now := time.Now()
	known := d.known(n.ClaimKey)
	if !want.Needed(known, now) {
		return d.done(g)
	}
	if d.o.Claims != nil && worst(n).Rank() < d.o.FailOpen.Rank() {
		d.o.Metrics.waiting(n.Receiver)
		return probeEvery
	}
	if g.turn.IsZero() {
		g.turn = now.Add(time.Duration(d.o.Rank()) * stagger)
		if d.o.Claims != nil {
			g.turn = g.turn.Add(grace)
		}
	}
	if left := g.turn.Sub(now); left > 0 {
		return left
	}
	g.turn = time.Time{}
	d.fresh.wait(d.sends, d)
	if now, ok := d.o.Group(d.sends, n.ClaimKey); ok {
		known, want = d.known(n.ClaimKey), now.Want()
		*n = now
	} else {
		return d.done(g)
	}
	if !want.Needed(known, time.Now()) {
		return d.done(g)
	}
	n.Last = known
	if d.o.Claims != nil {
		d.o.Metrics.open(n.Receiver)
	}
	return d.send(n, g, max(known.Token+1, uint64(now.UnixMilli()))) // as a store would give it
}

// worst severity of what fires, or of what has ended when nothing does.
func worst(n *alerts.Notification) (s alerts.Severity) {
	fires := false
	for i := range n.Alerts {
		a := &n.Alerts[i]
		if now := a.ResolvedAt.IsZero(); now && !fires {
			fires, s = true, a.Severity()
		} else if now == fires && a.Severity().WorseThan(s) {
			s = a.Severity()
		}
	}
	return s
}
