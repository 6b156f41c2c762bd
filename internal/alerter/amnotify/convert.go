package amnotify

import (
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// upstream is an alert as Alertmanager has it. What fires has no end there: the
// time at which an evaluation lost sight of it is no reason to say that it has
// resolved.
func upstream(a *alerts.Alert, now time.Time) *alert.Alert {
	u := &alert.Alert{Alert: model.Alert{Labels: labelSet(a.Labels), Annotations: labelSet(a.Annotations), StartsAt: a.FiredAt, GeneratorURL: a.Source}, UpdatedAt: now}
	if !a.ResolvedAt.IsZero() {
		u.EndsAt = a.ResolvedAt
		if u.EndsAt.After(now) { // a clock behind that of the log
			u.EndsAt = now
		}
	}
	if u.StartsAt.After(now) {
		u.StartsAt = now
	}
	return u
}

func labelSet(l alerts.Labels) model.LabelSet {
	set := make(model.LabelSet, len(l))
	for _, x := range l {
		set[model.LabelName(x.Name)] = model.LabelValue(x.Value)
	}
	return set
}

func modelValue(s string) model.LabelValue { return model.LabelValue(s) }

func labels(set model.LabelSet) alerts.Labels {
	list := make([]alerts.Label, 0, len(set))
	for name, value := range set {
		list = append(list, alerts.Label{Name: string(name), Value: string(value)})
	}
	return alerts.LabelsOf(list...)
}
