package alerting

import "net/http"

// Front is what serves an alerter's API of Alertmanager: it knows who asks. Requests
// that it hands on have passed its guard.
type Front struct {
	// Tenant is whose alerts and silences a request sees and changes; "" are those of
	// no tenant.
	Tenant func(*http.Request) string
	// Actor is who asks; "": not known by name.
	Actor func(*http.Request) string
	// Acted is told of each change that was wanted, and how it ended.
	Acted func(r *http.Request, action string, err error, args ...any)
}
