package reload

import (
	"context"
	"time"

	"github.com/penstock-otel/penstock/internal/audit"
)

// tell counts, logs and records a reload.
func (r *Reloader) tell(a Answer, by By) {
	m, log := r.o.Metrics, r.o.Logger.With("by", by.Listener, "peer", by.Peer, "subject", by.Subject)
	m.reloads.WithLabelValues(a.Outcome).Inc()
	event := audit.Event{At: a.At, Action: "reload", Outcome: audit.Done, Subject: by.Subject, Method: by.Method, Peer: by.Peer, Listener: by.Listener,
		Details: []audit.Detail{{Name: "outcome", Value: a.Outcome}, {Name: "hash", Value: a.Hash}}}
	if a.Outcome == Refused {
		m.successful.Set(0)
		event.Outcome, event.Reason = audit.Failed, a.Text()
		log.Error("configuration refused: what ran before runs on", "hash", a.Hash, "problems", a.Problems)
	} else {
		m.running(a.Hash, len(a.Waiting))
		for _, d := range []audit.Detail{{Name: "applied", Value: named(a.Applied)}, {Name: "restart_required", Value: named(a.Waiting)}} {
			if d.Value != "" {
				event.Details = append(event.Details, d)
			}
		}
		log.Info("configuration reloaded", "outcome", a.Outcome, "hash", a.Hash, "applied", named(a.Applied))
		if len(a.Waiting) > 0 {
			log.Warn("the configuration was changed where only a restart can follow", "restart_required", named(a.Waiting))
		}
	}
	if r.o.Audit != nil {
		r.o.Audit.Record(event)
	}
}

// View is what the status says of the configuration.
type View struct {
	Hash  string    `json:"hash"`
	Since time.Time `json:"since"` // the start, or the last reload that was not refused
	// Waiting are keys that wait for a restart.
	Waiting []string `json:"restart_required"`
	// Last is the last reload, if there was one.
	Last *Answer `json:"last_reload,omitempty"`
}

// View is the configuration as the status has it.
func (r *Reloader) View(context.Context) any {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v := View{Hash: r.running.Hash(), Since: r.since.UTC(), Waiting: r.waiting, Last: r.last}
	if v.Waiting == nil {
		v.Waiting = []string{}
	}
	return v
}
