package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/identity"
)

// listenerAdmin is this port in the audit stream.
const listenerAdmin = "admin"

// acted logs and records an operator's action, done or failed. args are names and
// values in turn; none is a secret.
func (a *API) acted(ctx context.Context, action string, err error, args ...any) {
	who := identity.From(ctx)
	e := audit.Event{Action: action, Outcome: audit.Done, Peer: admin.Peer(ctx), Listener: listenerAdmin, Details: details(args)}.By(who)
	about := []any{"action", action, "peer", e.Peer}
	if who != nil {
		about = append(about, "subject", who.Subject, "method", who.Method)
	}
	args = append(about, args...)
	log := app.Component(a.log, "api")
	if err != nil {
		log.Warn("operator action failed", append(args, "error", err)...)
		e.Outcome, e.Reason = audit.Failed, err.Error()
	} else {
		log.Info("operator action", args...)
	}
	a.rec.Record(e)
}

// details are the values as text: what has parts as JSON.
func details(args []any) []audit.Detail {
	var out []audit.Detail
	for i := 0; i+1 < len(args); i += 2 {
		d := audit.Detail{Name: fmt.Sprint(args[i])}
		switch v := args[i+1].(type) {
		case string:
			d.Value = v
		case fmt.Stringer:
			d.Value = v.String()
		default:
			text, err := json.Marshal(v)
			if err != nil {
				text = fmt.Append(nil, v)
			}
			d.Value = string(text)
		}
		out = append(out, d)
	}
	return out
}
