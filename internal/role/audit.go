package role

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
)

// lastAudit bounds storing the last entries at a stop, with a queue that may be
// gone.
const lastAudit = 5 * time.Second

// makeAudit makes what takes events from now on. They are stored once the queue is
// open, and logged if it never is.
func (b *base) makeAudit() {
	if !b.s.Audit.Enabled {
		b.audit = audit.None{}
		return
	}
	b.trail = audit.New(audit.Options{Config: b.s.Audit, Process: b.id, Metrics: audit.NewMetrics(b.reg), Logger: app.Component(b.log, "audit")})
	b.audit = b.trail
}

// beginAudit is the first thing of a start: its undo is the last of the stop.
func (b *base) beginAudit() {
	if b.trail == nil {
		return
	}
	b.app.OnStop("log audit events without a queue", lastAudit, b.trail.Stop)
	b.audit.Record(audit.Event{Action: "process started", Outcome: audit.Done, Details: []audit.Detail{
		{Name: "role", Value: b.app.Name()}, {Name: "version", Value: app.Version().Version}, {Name: "commit", Value: app.Version().Commit}, {Name: "config_hash", Value: b.configHash()}}})
}

// endAudit stores the last events at the stop, before the queue closes.
func (b *base) endAudit() {
	if b.trail == nil {
		return
	}
	b.app.OnStop("store the last audit entries", lastAudit, func(ctx context.Context) error {
		b.audit.Record(audit.Event{Action: "process stopped", Outcome: audit.Done})
		if err := b.trail.Stop(ctx); err != nil { // the queue may be gone already, and the log has them
			b.log.Warn("the audit stream does not have all of this process", "error", err)
		}
		return nil
	})
}

// startAudit gives the events their queue, which the role has opened and made its
// streams and buckets in: on a server that has room for those alone, the audit stream
// would take it from them, and what takes data in would not start.
func (b *base) startAudit() {
	if b.trail != nil {
		b.trail.Start(b.queue)
	}
}

// auditStatus shows the head of the chain, to be kept elsewhere.
func (b *base) auditStatus() {
	if b.trail != nil {
		b.status("audit", func(context.Context) any { return map[string]audit.Head{"head": b.trail.Head()} })
	}
}

// configHash is that of the configuration at the start.
func (b *base) configHash() string {
	if b.p.Loaded != nil {
		return b.p.Loaded.Hash()
	}
	return config.Made(b.s).Hash()
}

// denied records who was not let in at the admin port.
func (b *base) denied(r *http.Request, d admin.Denial) {
	e := audit.Event{Action: audit.Authenticate, Outcome: audit.Refused, Reason: d.Kind, Subject: d.Subject, Method: d.Method, Peer: r.RemoteAddr, Listener: "admin",
		Details: []audit.Detail{{Name: "request", Value: r.Method + " " + r.URL.Path}, {Name: "message", Value: d.Detail}}}
	if d.Method != "" { // it was proved who it is
		e.Action = audit.Authorize
	}
	b.audit.Record(e)
}

// auditOnce is for a process that does one thing: told records its begin, and its
// end once j has one or there is an error; end stores both.
func auditOnce(p Process, host string, q audit.Queue, log *slog.Logger) (told func(r Replay, by string, j job.Job, err error), end func(context.Context)) {
	if !p.Settings.Audit.Enabled {
		return func(Replay, string, job.Job, error) {}, func(context.Context) {}
	}
	log = app.Component(log, "audit")
	// Nobody scrapes the metrics: what is not stored is in the log.
	l := audit.New(audit.Options{Config: p.Settings.Audit, Process: fleet.NewID("replay", host), Metrics: audit.NewMetrics(prometheus.NewRegistry()), Logger: log})
	l.Start(q)
	told = func(r Replay, by string, j job.Job, err error) {
		e := audit.Event{Action: "begin one replay", Outcome: audit.Done, Details: []audit.Detail{{Name: "by", Value: by}, {Name: "job", Value: r.Name}}}
		switch {
		case err != nil:
			e.Action, e.Outcome, e.Reason = "end one replay", audit.Failed, err.Error()
		case j.Phase != "":
			e.Action = "end one replay"
			e.Details = append(e.Details, audit.Detail{Name: "phase", Value: string(j.Phase)}, audit.Detail{Name: "items", Value: strconv.FormatUint(j.Progress.Done.Items, 10)})
		default:
			spec, err := json.Marshal(r.Spec)
			if err != nil {
				spec = []byte(err.Error())
			}
			e.Details = append(e.Details, audit.Detail{Name: "spec", Value: string(spec)})
		}
		l.Record(e)
	}
	return told, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAudit)
		defer cancel()
		if err := l.Stop(ctx); err != nil {
			log.Warn("the audit stream does not have all of this process", "error", err)
		}
	}
}
