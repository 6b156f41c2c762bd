package audit

import "time"

// Outcomes of an Event.
const (
	Done    = "done"
	Failed  = "failed"  // an operator's action that did not work
	Refused = "refused" // a request that was not let in
)

// Event is one thing that happened. Its texts are bounded when it is recorded,
// and never hold a credential.
type Event struct {
	At time.Time `json:"at"` // set by Record when zero
	// Action is what was done or tried: "redrive", "pause job", "reload",
	// "authenticate".
	Action  string `json:"action"`
	Outcome string `json:"outcome"`
	// Reason of a failure or a refusal.
	Reason string `json:"reason,omitempty"`
	// Subject is who, as identity.Identity.Subject; Method is how that was proved.
	// Without a Method the subject is what somebody claimed.
	Subject string `json:"subject,omitempty"`
	Method  string `json:"method,omitempty"`
	Tenant  string `json:"tenant,omitempty"`
	// Peer is the address that the request came from.
	Peer string `json:"peer,omitempty"`
	// Listener is "otlp_grpc", "otlp_http" or "admin"; "signal" for a SIGHUP.
	Listener string `json:"listener,omitempty"`
	// Process is the id of the process that saw it; set by the Log.
	Process string `json:"process,omitempty"`
	// Details of the action, in the order in which they are shown.
	Details []Detail `json:"details,omitempty"`
	// Count is how many like it this entry stands for, where a rate limit has
	// put several into one; 0 is 1.
	Count int `json:"count,omitempty"`
}

// Detail is a name and a value.
type Detail struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Recorder takes events. It never blocks for long and never fails its caller:
// what cannot be kept is logged whole, and counted.
type Recorder interface{ Record(Event) }

// None records nothing, for processes whose configuration says so.
type None struct{}

// Record implements Recorder.
func (None) Record(Event) {}
