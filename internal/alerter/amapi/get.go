package amapi

import (
	"cmp"
	"net/http"
	"runtime"
	"slices"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

func (a *API) getAlerts(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err == nil {
		err = a.known()
	}
	if err != nil {
		return err
	}
	list := []gettableAlert{}
	a.firing(r, q, func(_ *alerts.Alert, g gettableAlert) { list = append(list, g) })
	slices.SortFunc(list, func(a, b gettableAlert) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
	write(w, http.StatusOK, list)
	return nil
}

func (a *API) getGroups(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err == nil {
		_, err = flag(r.URL.Query(), "muted")
	}
	if err == nil {
		err = a.known()
	}
	if err != nil {
		return err
	}
	type found struct {
		amnotify.Group
		alerts []gettableAlert
	}
	groups, config := map[string]*found{}, a.o.Config()
	a.firing(r, q, func(x *alerts.Alert, g gettableAlert) {
		for _, to := range config.Groups(x.Labels) {
			if q.receiver != nil && !q.receiver.MatchString(to.Receiver) {
				continue
			}
			f := groups[to.Key]
			if f == nil {
				f = &found{Group: to}
				groups[to.Key] = f
			}
			f.alerts = append(f.alerts, g)
		}
	})
	list := make([]alertGroup, 0, len(groups))
	for _, f := range groups {
		slices.SortFunc(f.alerts, func(a, b gettableAlert) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
		list = append(list, alertGroup{Alerts: f.alerts, Labels: asMap(f.Labels), Receiver: receiver{f.Receiver}})
	}
	slices.SortFunc(list, func(a, b alertGroup) int {
		return cmp.Or(compareMaps(a.Labels, b.Labels), cmp.Compare(a.Receiver.Name, b.Receiver.Name), cmp.Compare(a.Alerts[0].Fingerprint, b.Alerts[0].Fingerprint))
	})
	write(w, http.StatusOK, list)
	return nil
}

func compareMaps(a, b map[string]string) int {
	return slices.CompareFunc(asLabels(a), asLabels(b), func(a, b alerts.Label) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
}

func (a *API) getReceivers(w http.ResponseWriter, _ *http.Request) error {
	list := []receiver{}
	for _, name := range a.o.Config().Names() {
		list = append(list, receiver{name})
	}
	write(w, http.StatusOK, list)
	return nil
}

// getStatus says of a cluster that there is none: replicas of Penstock agree by the
// log, and none of them is a peer in Alertmanager's meaning.
func (a *API) getStatus(w http.ResponseWriter, _ *http.Request) error {
	s := status{Uptime: stamp(a.since), VersionInfo: map[string]string{"version": a.o.Version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": runtime.Version()}}
	s.Cluster.Peers, s.Cluster.Status = []string{}, "disabled"
	s.Config.Original = a.o.Config().Text()
	write(w, http.StatusOK, s)
	return nil
}
