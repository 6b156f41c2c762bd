package amapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Bounds of an alert that is posted, and of an answer.
const (
	maxHost   = 253
	maxSaid   = 20
	maxGroups = 16 // of one post
)

func (a *API) postAlerts(w http.ResponseWriter, r *http.Request) error {
	list, err := readAlerts(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = a.known()
	}
	if err != nil {
		return err
	}
	tenant, now := a.o.Tenant(r), a.o.Now()
	timeout, pushed := a.o.Config().ResolveTimeout(), r.Header.Get(alerting.PushedHeader) != ""
	room := max(0, maxPosted-a.o.State.Posted(tenant))
	groups, posted, refused := map[string]*alerts.Evaluation{}, map[alerts.Key]alerts.Posted{}, refusals{}
	for n, raw := range list {
		f, group, err := finding(raw, now, timeout)
		if err != nil {
			a.o.Metrics.posted(isInvalid, 1)
			refused.add(n, err)
			continue
		}
		k := alerts.KeyOf(tenant, f.Labels)
		if f.Firing {
			if have, ok := a.o.State.Alert(k); !ok || !have.ResolvedAt.IsZero() {
				if _, again := posted[k]; !again {
					room--
				}
				if room < 0 {
					a.o.Metrics.posted(isTooMany, 1)
					refused.add(n, fmt.Errorf("would be one more than the %d posted alerts that a tenant may have firing", maxPosted))
					continue
				}
			}
			if p := posted[k]; f.EndsAt.After(p.EndsAt) {
				posted[k] = alerts.Posted{At: now, EndsAt: f.EndsAt}
			}
		}
		f.Pushed = pushed
		if groups[group] == nil && len(groups) >= maxGroups {
			group = ""
		}
		e := groups[group]
		if e == nil {
			e = &alerts.Evaluation{Tenant: tenant, File: alerts.SourceExternal, Group: group, At: now}
			groups[group] = e
		}
		e.Active = append(e.Active, f)
	}
	a.remember(posted)
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		e := groups[group]
		changes := false
		err := a.do(r.Context(), func() ([]alerts.Event, error) {
			events := a.o.State.Transitions(*e, a.o.PolicyOf, now)
			changes = changes || len(events) > 0
			return events, nil
		})
		if err == nil {
			err = a.extend(r.Context(), posted, urgent)
		}
		if changes || err != nil { // not each time that the same is posted again
			a.acted(r, "post alerts", err, "alerts", len(e.Active), "source", e.Group)
		}
		if err != nil {
			a.o.Metrics.posted(isFailed, len(e.Active))
			return err
		}
		for i := range e.Active {
			if e.Active[i].Firing {
				a.o.Metrics.posted(isFiring, 1)
			} else {
				a.o.Metrics.posted(isResolved, 1)
			}
		}
	}
	if err := refused.err(); err != nil {
		return bad(err)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// readAlerts reads a list, of which each is looked at alone.
func readAlerts(body interface{ Read([]byte) (int, error) }) (list []json.RawMessage, err error) {
	d := json.NewDecoder(body)
	wrap := func(err error) error {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return bad(fmt.Errorf("the body is no list of alerts in JSON: %w", err))
	}
	if t, err := d.Token(); err != nil {
		return nil, wrap(err)
	} else if t != json.Delim('[') {
		return nil, wrap(fmt.Errorf("it begins with %.32q", fmt.Sprint(t)))
	}
	for d.More() {
		if len(list) == maxAlerts {
			return nil, bad(fmt.Errorf("more than %d alerts in one request: post them in parts", maxAlerts))
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, wrap(err)
		}
		list = append(list, raw)
	}
	if _, err := d.Token(); err != nil {
		return nil, wrap(err)
	}
	return list, nil
}

// finding is what one alert says, and whose it is: the host of its link.
func finding(raw json.RawMessage, now time.Time, timeout time.Duration) (f alerts.Finding, group string, err error) {
	var p postableAlert
	if err := json.Unmarshal(raw, &p); err != nil {
		return f, "", err
	}
	size := 0
	for name, value := range p.Labels {
		if name == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return f, "", fmt.Errorf("a label %.64q=%.64q is none", name, value)
		}
		size += len(name) + len(value)
	}
	f.Labels = asLabels(p.Labels)
	name := f.Labels.Get("alertname")
	starts, ends := time.Time(p.StartsAt), time.Time(p.EndsAt)
	switch {
	case len(f.Labels) == 0:
		return f, "", errors.New("has no labels: want at least one")
	case size > alerts.MaxLabels:
		return f, "", fmt.Errorf("%.64q has %d bytes of labels: want at most %d", name, size, alerts.MaxLabels)
	case !starts.IsZero() && !ends.IsZero() && starts.After(ends):
		return f, "", fmt.Errorf("%.64q ends at %s, before it starts at %s", name, ends.UTC().Format(time.RFC3339), starts.UTC().Format(time.RFC3339))
	}
	if starts.IsZero() {
		if starts = now; !ends.IsZero() && ends.Before(now) {
			starts = ends
		}
	}
	if ends.IsZero() {
		ends = now.Add(timeout)
	}
	f.Rule, f.Annotations, f.ActiveAt, f.FiredAt, f.Firing = name, asLabels(p.Annotations), starts, starts, ends.After(now)
	if f.Firing {
		f.EndsAt = ends
	}
	if u, err := url.Parse(p.Source); err == nil && (u.Scheme == "http" || u.Scheme == "https") && len(p.Source) <= alerts.MaxSource {
		f.Source = p.Source
		if len(u.Host) <= maxHost {
			group = strings.ToLower(u.Host)
		}
	}
	return f, group, nil
}

// refusals name the first alerts that were refused.
type refusals struct {
	errs []error
	more int
}

func (r *refusals) add(n int, err error) {
	if len(r.errs) >= maxSaid {
		r.more++
		return
	}
	r.errs = append(r.errs, fmt.Errorf("alert %d: %w", n, err))
}

func (r *refusals) err() error {
	if r.more > 0 {
		return errors.Join(append(r.errs, fmt.Errorf("and %d more", r.more))...)
	}
	return errors.Join(r.errs...)
}
