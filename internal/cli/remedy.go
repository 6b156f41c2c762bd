package cli

import (
	"fmt"
	"strings"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/worker/ship"
)

// remedy is what helps against an error of a destination, "" when its text says
// all there is to say.
func remedy(code string) string {
	switch {
	case code == "UNAUTHENTICATED", code == "PERMISSION_DENIED", code == "HTTP 401", code == "HTTP 403":
		return "It refuses the credentials: see to headers, auth and tls of this destination. The data is kept and tried again, unless on_refusal says otherwise."
	case ship.Refuses(code):
		return "It refuses whatever is sent: see to protocol, endpoints and signals of this destination. The data is kept and tried again, unless on_refusal says otherwise."
	case code == "no_token":
		return "Without a token nothing is sent: see to auth of this destination, and whether who gives the token runs. The data is kept and tried again."
	case code == "no_connection":
		return "See whether it runs, and to endpoints and tls of this destination. The data is kept and tried again."
	}
	return ""
}

// ails is the last error of a destination if nothing was taken since, else nil.
func ails(d api.Destination) *fleet.Error {
	if e := d.LastError; e != nil && (d.LastSuccess == nil || e.At.After(*d.LastSuccess)) {
		return e
	}
	return nil
}

// ailment says what ails a destination: what it answered, and what helps.
func ailment(name string, e *fleet.Error) string {
	text := fmt.Sprintf("failed %s ago, %s: %s", age(e.At), e.Code, strings.TrimPrefix(e.Text, fmt.Sprintf("destination %q: ", name)))
	if help := remedy(e.Code); help != "" {
		text += ". " + help
	}
	return text
}

// notices is what an operator wants to know although it is no fault of the
// queue: who takes nothing, and for whom data is kept that nobody exports.
func notices(s api.Status) []string {
	var out []string
	for _, d := range s.Destinations {
		switch e := ails(d); {
		case len(d.Workers) == 0:
			out = append(out, fmt.Sprintf("no running worker has destination %s; %s", d.Name, orphaned(d.Name)))
		case e != nil && (d.Breaker == "open" || d.Breaker == "half_open" || ship.Refuses(e.Code)):
			out = append(out, fmt.Sprintf("destination %s takes nothing: %s", d.Name, ailment(d.Name, e)))
		}
	}
	for _, j := range s.Jobs {
		if why := stuck(j); why != "" {
			out = append(out, fmt.Sprintf("%s %s: %s", j.Kind, j.ID, why))
		}
	}
	return out
}

// orphaned is what is to be known of a destination without a worker.
func orphaned(name string) string {
	return "what it has not taken is kept. Start a worker that has it, or give it up: penstock destination drop " + name
}

// stuck says why a job does not move, "" when it does.
func stuck(j api.JobView) string {
	switch {
	case j.Phase.Ended(), j.Phase == job.PhasePaused:
		return ""
	case j.Why != "":
		return j.Why
	case j.Error != "":
		return "failing, tried again: " + strings.TrimSuffix(j.Error, "; tried again")
	}
	return ""
}

// folded is text in lines of at most width, each after the first begun by line,
// and no more than so many of them.
func folded(text string, width, lines int, line string) string {
	var out []string
	now := ""
	for _, word := range strings.Fields(text) {
		word = clip(word, width)
		switch {
		case now == "":
			now = word
		case len([]rune(now))+1+len([]rune(word)) <= width:
			now += " " + word
		default:
			out, now = append(out, now), word
		}
	}
	out = append(out, now)
	if len(out) > lines {
		out = append(out[:lines-1], clip(out[lines-1]+" "+out[lines], width)) // longer, or it were one line
	}
	return strings.Join(out, line)
}
