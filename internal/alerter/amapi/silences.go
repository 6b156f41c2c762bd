package amapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// maxCreator bounds the name that somebody gives of themselves, in bytes.
const maxCreator = 256

func (a *API) getSilences(w http.ResponseWriter, r *http.Request) error {
	var wanted []amnotify.Term
	var err error
	values := r.URL.Query()
	if filter := values["filter"]; len(filter) > 0 {
		if wanted, err = amnotify.Terms(filter); err != nil {
			return bad(err)
		}
	}
	states := map[string]bool{}
	for _, name := range []string{stateActive, statePending, stateExpired} {
		if states[name], err = flag(values, name); err != nil {
			return err
		}
	}
	if err := a.known(); err != nil {
		return err
	}
	list, tenant := []silence{}, a.o.Tenant(r)
	for _, s := range a.o.State.Silences() {
		if s.Tenant != tenant {
			continue
		}
		terms, err := amnotify.Terms(s.Matchers)
		if err != nil {
			return fmt.Errorf("silence %s: %w", s.ID, err)
		}
		x := a.gettable(s, terms)
		if states[x.Status.State] && !slices.ContainsFunc(wanted, func(t amnotify.Term) bool { return !slices.Contains(terms, t) }) {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, compareSilences)
	write(w, http.StatusOK, list)
	return nil
}

// compareSilences has those first that hold, the next to end before the others, then
// those to come, then those that have ended, the last one first.
func compareSilences(a, b silence) int {
	order := []string{stateActive, statePending, stateExpired}
	if c := cmp.Compare(slices.Index(order, a.Status.State), slices.Index(order, b.Status.State)); c != 0 {
		return c
	}
	starts, ends := time.Time(a.StartsAt).Compare(time.Time(b.StartsAt)), time.Time(a.EndsAt).Compare(time.Time(b.EndsAt))
	switch a.Status.State {
	case statePending:
		return cmp.Or(starts, cmp.Compare(a.ID, b.ID))
	case stateExpired:
		return cmp.Or(-ends, cmp.Compare(a.ID, b.ID))
	}
	return cmp.Or(ends, cmp.Compare(a.ID, b.ID))
}

func (a *API) gettable(s alerts.Silence, terms []amnotify.Term) silence {
	updated := stamp(s.Starts)
	x := silence{ID: s.ID, Comment: s.Comment, CreatedBy: s.By, StartsAt: stamp(s.Starts), EndsAt: stamp(s.Ends), UpdatedAt: &updated, Matchers: []matcher{}}
	for _, t := range terms {
		x.Matchers = append(x.Matchers, matcher{Name: t.Name, Value: t.Value, IsRegex: t.Regex, IsEqual: &t.Equal})
	}
	x.Status = &silenceStatus{stateActive}
	switch now := a.o.Now(); {
	case !now.Before(s.Ends):
		x.Status.State = stateExpired
	case now.Before(s.Starts):
		x.Status.State = statePending
	}
	return x
}

// silence is one of the tenant of a request.
func (a *API) silence(r *http.Request) (alerts.Silence, error) {
	if err := a.known(); err != nil {
		return alerts.Silence{}, err
	}
	id, tenant := r.PathValue("id"), a.o.Tenant(r)
	for _, s := range a.o.State.Silences() {
		if s.ID == id && s.Tenant == tenant {
			return s, nil
		}
	}
	return alerts.Silence{}, fmt.Errorf("silence %.64q is %w, or has ended long ago", id, alerts.ErrUnknown)
}

func (a *API) getSilence(w http.ResponseWriter, r *http.Request) error {
	s, err := a.silence(r)
	if err != nil {
		return err
	}
	terms, err := amnotify.Terms(s.Matchers)
	if err != nil {
		return fmt.Errorf("silence %s: %w", s.ID, err)
	}
	write(w, http.StatusOK, a.gettable(s, terms))
	return nil
}

func (a *API) postSilence(w http.ResponseWriter, r *http.Request) error {
	s, err := a.readSilence(w, r)
	if err == nil {
		err = a.known()
	}
	if err != nil {
		return err
	}
	id := s.ID
	err = a.do(r.Context(), func() ([]alerts.Event, error) {
		events, err := a.o.State.Silence(s, a.o.Now())
		if len(events) > 0 {
			id = events[0].Silence.ID
		}
		return events, err
	})
	a.acted(r, "add silence", err, "silence", id, "matchers", s.Matchers, "until", s.Ends, "comment", s.Comment)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, map[string]string{"silenceID": id})
	return nil
}

func (a *API) readSilence(w http.ResponseWriter, r *http.Request) (out alerts.Silence, err error) {
	var s silence
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := d.Decode(&s); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return out, err
		}
		return out, bad(fmt.Errorf("the body is no silence in JSON: %w", err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return out, bad(errors.New("there is something behind the silence: want one"))
	}
	out = alerts.Silence{ID: s.ID, Tenant: a.o.Tenant(r), Starts: time.Time(s.StartsAt), Ends: time.Time(s.EndsAt), Comment: s.Comment, By: a.creator(r, s.CreatedBy)}
	if len(s.CreatedBy) > maxCreator {
		return out, bad(fmt.Errorf("createdBy has %d bytes: want at most %d", len(s.CreatedBy), maxCreator))
	}
	for _, m := range s.Matchers {
		text, err := amnotify.Term{Name: m.Name, Value: m.Value, Regex: m.IsRegex, Equal: m.IsEqual == nil || *m.IsEqual}.Text()
		if err != nil {
			return out, bad(err)
		}
		out.Matchers = append(out.Matchers, text)
	}
	if err := amnotify.CheckMatchers(out.Matchers); err != nil {
		return out, bad(err)
	}
	if now := a.o.Now(); s.ID == "" && out.Starts.Before(now) {
		out.Starts = now
	}
	return out, nil
}

// creator is who asks, and whom they say it is for.
func (a *API) creator(r *http.Request, said string) string {
	actor := a.o.Actor(r)
	switch {
	case actor == "":
		return said
	case said == "" || said == actor:
		return actor
	}
	return actor + " for " + said
}

func (a *API) deleteSilence(w http.ResponseWriter, r *http.Request) error {
	s, err := a.silence(r)
	if err != nil {
		return err
	}
	by := a.creator(r, "")
	if by == "" {
		by = s.By // nobody is known by name
	}
	err = a.do(r.Context(), func() ([]alerts.Event, error) { return a.o.State.Unsilence(s.ID, by, a.o.Now()) })
	a.acted(r, "end silence", err, "silence", s.ID)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
