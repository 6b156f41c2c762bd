package amapi

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// query is what alerts and groups are asked for.
type query struct {
	matches                     func(alerts.Labels) bool // nil: all
	receiver                    *regexp.Regexp           // nil: all
	active, silenced, inhibited bool
}

func parseQuery(r *http.Request) (q query, err error) {
	values := r.URL.Query()
	if filter := values["filter"]; len(filter) > 0 {
		if q.matches, err = amnotify.Matcher(filter); err != nil {
			return q, bad(err)
		}
	}
	if text := values.Get("receiver"); text != "" {
		if q.receiver, err = regexp.Compile("^(?:" + text + ")$"); err != nil {
			return q, bad(fmt.Errorf("receiver %.200q is no regular expression: %w", text, err))
		}
	}
	for name, to := range map[string]*bool{"active": &q.active, "silenced": &q.silenced, "inhibited": &q.inhibited} {
		if *to, err = flag(values, name); err != nil {
			return q, err
		}
	}
	if _, err = flag(values, "unprocessed"); err != nil { // nothing is: all that is known was looked at
		return q, err
	}
	return q, nil
}

// flag is true unless it is said to be false.
func flag(values url.Values, name string) (bool, error) {
	text := values.Get(name)
	if text == "" {
		return true, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, bad(fmt.Errorf("%s is %.64q: want true or false", name, text))
	}
	return on, nil
}

// firing calls f with each alert of a tenant that fires and that q chooses.
func (a *API) firing(r *http.Request, q query, f func(*alerts.Alert, gettableAlert)) {
	config, now := a.o.Config(), a.o.Now()
	silences := map[string]bool{}
	for _, s := range a.o.State.Silences() {
		silences[s.ID] = true
	}
	chosen := alerts.Filter{States: []string{alerts.Firing}, Tenants: []string{a.o.Tenant(r)}, Match: q.matches}
	for r.Context().Err() == nil {
		page := a.o.State.Alerts(chosen)
		for i := range page {
			x := &page[i]
			g := gettableAlert{Annotations: asMap(x.Annotations), Labels: asMap(x.Labels), Fingerprint: fingerprint(x.Labels), Receivers: []receiver{},
				StartsAt: stamp(x.FiredAt), EndsAt: stamp(x.EndsAt), UpdatedAt: stamp(x.Watermark), Source: x.Source}
			if x.EndsAt.IsZero() { // of a rule: it goes on until an evaluation does not have it
				g.EndsAt = stamp(now.Add(config.ResolveTimeout()))
			}
			names := config.Receivers(g.Labels)
			if q.receiver != nil && !slices.ContainsFunc(names, q.receiver.MatchString) {
				continue
			}
			for _, name := range names {
				g.Receivers = append(g.Receivers, receiver{name})
			}
			g.Status = statusOf(a.o.Muted(r.Context(), x), silences)
			if !q.active && g.Status.State == stateActive || !q.silenced && len(g.Status.SilencedBy) > 0 || !q.inhibited && len(g.Status.InhibitedBy) > 0 {
				continue
			}
			f(x, g)
		}
		if len(page) < alerts.MaxList {
			return
		}
		chosen.Behind = page[len(page)-1].Cursor()
	}
}

const (
	stateActive     = "active"
	stateSuppressed = "suppressed"
	statePending    = "pending"
	stateExpired    = "expired"
)

func statusOf(muted []string, silences map[string]bool) alertStatus {
	s := alertStatus{InhibitedBy: []string{}, MutedBy: []string{}, SilencedBy: []string{}, State: stateActive}
	for _, by := range muted {
		id := strings.TrimPrefix(by, "silence/")
		switch {
		case by == amnotify.Inhibited:
			s.InhibitedBy = append(s.InhibitedBy, by)
		case silences[id]:
			s.SilencedBy = append(s.SilencedBy, id)
		default:
			s.MutedBy = append(s.MutedBy, by)
		}
	}
	if len(s.InhibitedBy)+len(s.SilencedBy) > 0 {
		s.State = stateSuppressed
	}
	return s
}
