package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// tagAlerts is that of the routes of alerts.
const tagAlerts = "alerts"

// AttachAlerts gives the API the alerter of this process; nil, and Detach, take it
// away again. Before that the routes of alerts answer 503.
func (a *API) AttachAlerts(s alerting.Service) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alerts, a.alertmanager = s, nil
	if s != nil {
		a.alertmanager = s.Alertmanager(a.front())
	}
}

// alerter is that of this process, or the answer that there is none.
func (a *API) alerter() (alerting.Service, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.alerts == nil {
		return nil, huma.Error503ServiceUnavailable("this process runs no alerter, or it starts or stops: ask one that does (--admin of the command; penstock status lists the processes), or configure alerter.rules and restart it")
	}
	return a.alerts, nil
}

// known is the alerter, once it knows all that the log of alerts has: before that what
// it says of alerts would be wrong.
func (a *API) known() (alerting.Service, error) {
	s, err := a.alerter()
	if err == nil && !s.State().CaughtUp() {
		err = huma.Error503ServiceUnavailable("this alerter still reads the log of alerts, or cannot: ask again in a moment, or another process; its log and /readyz say more")
	}
	return s, err
}

// registerAlerts adds the routes of alerts.
func (a *API) registerAlerts() {
	a.registerAlertLists()
	a.registerIncidentActions()
	a.registerSilences()
	a.registerAlertHistory()
	a.registerAlertWatch()
	huma.Register(a.huma, read("get-alerting-rules", "/alerts/rules", tagAlerts, "The rules that this alerter evaluates, and how that goes"),
		func(context.Context, *struct{}) (*answer[alerting.Status], error) {
			s, err := a.alerter()
			if err != nil {
				return nil, err
			}
			return &answer[alerting.Status]{s.Status()}, nil
		})
}

// scope is whose alerts a request may see and change: an identity that has a tenant,
// or speaks for some, is bound to those.
type scope struct {
	who *identity.Identity // nil: all tenants
}

func scopeOf(ctx context.Context) scope {
	who := identity.From(ctx)
	if who == nil || who.Tenant == "" && len(who.SpeaksFor) == 0 || slices.Contains(who.SpeaksFor, identity.AnyTenant) {
		return scope{}
	}
	return scope{who}
}

func (s scope) has(tenant string) bool { return s.who == nil || s.who.Speaks(tenant) }

// of are the tenants of a filter: those asked for, or all that it has. It is a 403 to
// ask for another's.
func (s scope) of(asked []string) ([]string, error) {
	if s.who == nil {
		return asked, nil
	}
	for _, t := range asked {
		if !s.has(t) {
			return nil, s.refused(t)
		}
	}
	if len(asked) > 0 {
		return asked, nil
	}
	return s.own(), nil
}

func (s scope) own() []string { return append([]string{s.who.Tenant}, s.who.SpeaksFor...) }

func (s scope) refused(tenant string) error {
	return huma.Error403Forbidden("the tenant " + quoted(tenant) + " is not one of " + s.who.Subject + ", which has " + quoted(s.own()...) + ": use the credential of that tenant, or of an operator of all")
}

// quoted is a list of names for a sentence.
func quoted(names ...string) string {
	out := make([]string, len(names))
	for n, name := range names {
		if len(name) > 64 {
			name = name[:64] + "…"
		}
		out[n] = `"` + name + `"`
	}
	return strings.Join(out, ", ")
}

// AlertActor may name who does something.
type AlertActor struct {
	By string `json:"by,omitempty" maxLength:"64" doc:"Who does it, where the request does not prove that and comes from this machine; it is passed over elsewhere."`
}

// actor is who does something: the identity of the request, and else the address. Who
// is not proved may give a name on this machine, which cannot be mistaken for one that
// was.
func (b AlertActor) actor(ctx context.Context) (string, error) {
	if who := identity.From(ctx); who != nil && who.Method != identity.MethodAnonymous {
		return who.Subject, nil
	}
	peer := peerHost(ctx)
	if b.By == "" || !loopback(peer) {
		return "anonymous at " + peer, nil
	}
	if len(b.By) > 64 || strings.ContainsFunc(b.By, func(r rune) bool { return r == ':' || !unicode.IsPrint(r) }) {
		return "", huma.Error422UnprocessableEntity("by is a name of at most 64 bytes, printable and without colons")
	}
	return b.By, nil
}

// now is the time of an action.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// change appends what decide wants, and waits until the state has it; the action is
// logged and recorded, done or failed.
func (a *API) change(ctx context.Context, s alerting.Service, action string, decide func() ([]alerts.Event, error), args ...any) error {
	at, err := alerts.Do(ctx, s.Log(), s.State(), decide)
	if err == nil {
		err = s.State().Reached(ctx, at)
	}
	a.acted(ctx, action, err, args...)
	return alertProblem(err)
}

// alertProblem is problem, with what goes wrong with alerts.
func alertProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, alerts.ErrUnknown):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, alerts.ErrClosed):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, alerts.ErrInvalid), errors.Is(err, alerts.ErrTooLarge):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, alerts.ErrFull):
		return huma.NewError(http.StatusInsufficientStorage, err.Error())
	case errors.Is(err, alerts.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return huma.Error503ServiceUnavailable("whether this is done is not known, as the log of alerts does not answer; look, and ask again: " + err.Error())
	}
	return problem(err)
}

// peerHost is the address of the peer without its port.
func peerHost(ctx context.Context) string { return hostOf(admin.Peer(ctx)) }
