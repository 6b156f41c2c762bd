package cli

import (
	"fmt"
	"strings"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// eventText is one thing that happened as a line for people, without its time.
func eventText(e *api.AlertEvent) string {
	title := printable(e.Title)
	if title == "" {
		title = "incident " + e.Incident
	}
	by := func(verb string) string {
		text := title + " is " + verb
		if e.Actor != "" && e.Actor != alerts.ActorRule && e.Actor != alerts.ActorEscalation {
			text += " by " + printable(e.Actor)
		}
		if e.Reason != "" {
			text += ": " + printable(e.Reason)
		}
		return text
	}
	to := printable(strings.Join(e.Targets, ", "))
	switch alerts.Kind(e.Kind) {
	case alerts.EventFired:
		text := title + " fires"
		if e.Severity != "" {
			text += ", " + printable(e.Severity)
		}
		if l := labelText(e.Labels); l != "" {
			text += ": " + l
		}
		return text
	case alerts.EventResolved:
		return by("resolved")
	case alerts.EventOpened:
		return title + " begins as incident " + e.Incident
	case alerts.EventReopened:
		return title + " begins again"
	case alerts.EventClosed:
		return by("over")
	case alerts.EventAcked:
		text := title + " is taken by " + printable(e.Actor)
		if !e.Until.IsZero() {
			text += " until " + clock(e.Until)
		}
		if e.Reason != "" {
			text += ": " + printable(e.Reason)
		}
		return text
	case alerts.EventUnacked:
		return by("given back")
	case alerts.EventAckExpired:
		return title + " is open again, as the time of who had it is over"
	case alerts.EventRaised:
		return title + " is " + printable(e.Severity) + " now"
	case alerts.EventEscalated:
		return fmt.Sprintf("%s: level %d tells %s", title, e.Level, to)
	case alerts.EventRepeated:
		return title + ": nobody has answered, and its policy begins again"
	case alerts.EventExhausted:
		text := title + ": nobody has answered, and its policy is at its end"
		if to != "" {
			text += ", which tells " + to
		}
		return text
	case alerts.EventJoined:
		return title + ": more fires, which tells " + to
	case alerts.EventHeld:
		return title + ": a level is due and waits, as all that fires is muted"
	case alerts.EventContinued:
		return title + ": no longer all that fires is muted, and its policy begins again"
	case alerts.EventSilenced:
		text := "silence " + e.Silence + " of " + printable(strings.Join(e.Matchers, " ")) + " by " + printable(e.Actor) + " until " + clock(e.Ends)
		if e.Reason != "" {
			text += ": " + printable(e.Reason)
		}
		return text
	case alerts.EventUnsilenced:
		return "silence " + e.Silence + " of " + printable(strings.Join(e.Matchers, " ")) + " is ended by " + printable(e.Actor)
	case alerts.EventExtended:
		return "alerts that others post were posted again, and end later"
	case alerts.EventNotified:
		return fmt.Sprintf("%s: %s was told%s in %s", title, printable(e.Receiver), told(e), seconds(e.Seconds))
	case alerts.EventNotifyFailed:
		return fmt.Sprintf("%s: %s could not be told%s, and is tried again: %s", title, printable(e.Receiver), told(e), printable(e.Error))
	case alerts.EventNotifyDropped:
		return fmt.Sprintf("%s: %s is not told%s: %s", title, printable(e.Receiver), told(e), printable(e.Error))
	}
	switch e.Kind {
	case api.WatchReset:
		return "what happened meanwhile is not known (" + printable(e.Problem) + "): look with penstock alerts ls"
	case api.WatchError:
		return "the watch ends: " + printable(e.Problem)
	}
	text := printable(e.Kind)
	if e.Title != "" {
		text += " " + title
	}
	return text
}

// told is what a notification tells.
func told(e *api.AlertEvent) string {
	switch {
	case e.Firing > 0 && e.Resolved > 0:
		return fmt.Sprintf(" of %d firing and %d resolved", e.Firing, e.Resolved)
	case e.Firing > 0:
		return fmt.Sprintf(" of %d firing", e.Firing)
	case e.Resolved > 0:
		return fmt.Sprintf(" of %d resolved", e.Resolved)
	}
	return ""
}
