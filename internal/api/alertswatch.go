package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// maxWatches that one process serves at a time: each reads the log of alerts.
const maxWatches = 32

// watchQuery says what a watch shows.
type watchQuery struct {
	After    uint64   `query:"after" doc:"Go on behind this position; absent or 0: with what comes. A larger one than there is begins with what comes, and a line of kind reset."`
	LastID   string   `header:"Last-Event-ID" doc:"The same, as browsers send it that lost their connection."`
	Kind     []string `query:"kind,explode" maxItems:"30" doc:"Kinds of events; absent: all."`
	Tenant   []string `query:"tenant,explode" maxItems:"100" doc:"Tenants; absent: all that who asks may see."`
	Incident string   `query:"incident" maxLength:"64" doc:"Id of an incident."`
	Limit    int      `query:"limit" minimum:"0" doc:"End after so many events; 0: never."`
}

// registerAlertWatch adds the stream of what happens.
func (a *API) registerAlertWatch() {
	op := patient(read("watch-alerts", "/alerts/watch", tagAlerts, "What happens to alerts, as it does: each a line of JSON, or a server-sent event where that is accepted", http.StatusTooManyRequests), forEver)
	op.Description += " Each line has the position in the log of alerts, and of server-sent events the id is that: a client that lost its connection goes on there by after or Last-Event-ID, and gets nothing twice but the beginning of an entry that it had not whole. Lists of the same process have what a line tells of. A client that does not read for 10 s is closed."
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[AlertEvent](), true, "AlertEvent")
	op.Responses = map[string]*huma.Response{"200": {Description: "Events, until the client goes or the limit is reached. The first line is of kind begins. Empty lines come while nothing happens. A line of kind reset says that lists have to be asked for again, one of kind error ends a watch that cannot go on.",
		Content: map[string]*huma.MediaType{typeLines: {Schema: schema}, typeEvents: {Schema: schema}}}}
	huma.Register(a.huma, op, func(ctx context.Context, in *watchQuery) (*huma.StreamResponse, error) {
		s, err := a.known()
		if err != nil {
			return nil, err
		}
		c := chosen{kinds: in.Kind, incident: in.Incident}
		if c.tenants, err = scopeOf(ctx).of(in.Tenant); err != nil {
			return nil, err
		}
		if in.LastID != "" {
			if in.After, err = strconv.ParseUint(in.LastID, 10, 64); err != nil {
				return nil, huma.Error422UnprocessableEntity("Last-Event-ID is no position of the log of alerts: leave it out to begin with what comes")
			}
		}
		select {
		case a.watches <- struct{}{}:
		default:
			return nil, huma.Error429TooManyRequests(fmt.Sprintf("this process serves %d watches of alerts at a time, and all are taken: end one, or ask another process", maxWatches))
		}
		return &huma.StreamResponse{Body: func(h huma.Context) {
			defer func() { <-a.watches }()
			a.watchAlerts(h, s, c, in.After, in.Limit)
		}}, nil
	})
}

// watchAlerts streams until the client goes, the API is detached, or the log cannot be
// followed.
func (a *API) watchAlerts(h huma.Context, s alerting.Service, c chosen, after uint64, limit int) {
	ctx, cancel := context.WithCancel(h.Context())
	defer cancel()
	defer context.AfterFunc(a.ended, cancel)()
	out, err := open(h)
	if err != nil {
		return // gone already
	}
	w := &watch{steady: out.steady(ctx, cancel), ctx: ctx, s: s, chosen: c, tell: newNarrator(s.State()), limit: limit}
	at := s.State().At()
	first := AlertEvent{Kind: WatchBegins, Position: at}
	switch {
	case after > at: // a follower would take the log for lost
		first = AlertEvent{Kind: WatchReset, Position: at, Problem: fmt.Sprintf("the log of alerts is at %d and not at %d: it began anew, or that is of another one", at, after)}
	case after > 0:
		at, first.Position = after, after
	}
	w.at = at
	err = w.line(first)
	if err == nil {
		err = s.Log().Follow(ctx, at, w.entry)
	}
	gone := w.end()
	if err == nil || gone || errors.Is(err, errEnough) || h.Context().Err() != nil {
		return
	}
	_ = w.line(AlertEvent{Kind: WatchError, Position: w.at, Problem: err.Error()}) // the client is gone: nobody to tell
}

// watch is one client.
type watch struct {
	*steady
	chosen
	ctx   context.Context
	s     alerting.Service
	tell  *narrator
	limit int
	n     int    // events that were sent
	at    uint64 // position of the last entry
}

func (w *watch) line(v AlertEvent) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	id := ""
	if !v.More {
		id = strconv.FormatUint(v.Position, 10)
	}
	return w.send(v.Kind, id, b)
}

// entry sends what is wanted of an entry, once the state has it.
func (w *watch) entry(e alerts.Entry) error {
	if err := w.s.State().Reached(w.ctx, e.At); err != nil {
		return err
	}
	gap := e.At > w.at+1
	w.at = e.At
	if e.Anew || e.Snapshot != nil || gap {
		why := "the log of alerts was tidied before they were sent"
		if e.Anew {
			why = "the log of alerts was lost and began anew"
		}
		if err := w.line(AlertEvent{Kind: WatchReset, Position: e.At, StoredAt: utc(e.StoredAt), Problem: why}); err != nil {
			return err
		}
	}
	var lines []AlertEvent
	for n := range e.Events {
		v := w.tell.view(e.At, e.StoredAt, &e.Events[n])
		if w.has(&e.Events[n]) {
			lines = append(lines, v)
		}
	}
	for n, v := range lines {
		v.More = n < len(lines)-1
		if err := w.line(v); err != nil {
			return err
		}
		if w.n++; w.limit > 0 && w.n >= w.limit {
			return errEnough
		}
	}
	return nil
}

// utc leaves the zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
