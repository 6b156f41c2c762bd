package amnotify

import (
	"context"
	"log/slog"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

// logger is the receiver that writes each alert to a log.
type logger struct{ log *slog.Logger }

func (l logger) Notify(ctx context.Context, list ...*alert.Alert) (bool, error) {
	why, _ := notify.NotificationReason(ctx)
	for _, a := range list {
		level, what := slog.LevelWarn, "alert fires"
		if a.Resolved() {
			level, what = slog.LevelInfo, "alert has resolved"
		}
		l.log.Log(ctx, level, what, "alert", a.Name(), "labels", a.Labels.String(), "since", a.StartsAt, "because", why.String(),
			"summary", string(a.Annotations["summary"]))
	}
	return false, nil
}

// always wants to hear of the end.
type always struct{}

func (always) SendResolved() bool { return true }
