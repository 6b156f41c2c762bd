package alerts

import "time"

// Kind of an event. The words are stored.
type Kind string

// The kinds.
const (
	EventFired         Kind = "fired"
	EventResolved      Kind = "resolved"
	EventExtended      Kind = "extended" // what was posted ends later, as it was posted again
	EventOpened        Kind = "opened"
	EventReopened      Kind = "reopened"
	EventClosed        Kind = "closed"
	EventAcked         Kind = "acked"
	EventUnacked       Kind = "unacked"
	EventAckExpired    Kind = "ack_expired"
	EventRaised        Kind = "raised" // a worse severity
	EventEscalated     Kind = "escalated"
	EventRepeated      Kind = "repeated" // the next cycle began
	EventExhausted     Kind = "exhausted"
	EventJoined        Kind = "joined"    // an alert came to an incident that is acked
	EventHeld          Kind = "held"      // a level is due, and all that fires is muted
	EventContinued     Kind = "continued" // no longer held: the levels begin anew
	EventSilenced      Kind = "silenced"
	EventUnsilenced    Kind = "unsilenced"
	EventNotified      Kind = "notified"
	EventNotifyFailed  Kind = "notify_failed"  // and is tried again
	EventNotifyDropped Kind = "notify_dropped" // for good: the receiver refuses it, or is gone
)

// Actors that are no people.
const (
	ActorRule       = "rule"
	ActorEscalation = "escalation"
)

// Event is one line of history. What its kind does not use is empty.
type Event struct {
	Kind Kind `json:"kind"`
	// At is by the clock of the writer, for people; what is computed with is the
	// Watermark or the time at which the entry was stored (Incident.Apply).
	At        time.Time `json:"at"`
	Watermark time.Time `json:"watermark,omitzero"`
	Tenant    string    `json:"tenant,omitempty"`
	Alert     Key       `json:"alert,omitempty"`
	Incident  string    `json:"incident,omitempty"`
	Actor     string    `json:"actor,omitempty"`
	// Reason is a word, as rule_deleted, or what a person wrote; at most MaxReason.
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"` // of an ack; of extended: the end

	Fired     *Alert     `json:"fired,omitempty"`
	Extended  *Extended  `json:"extended,omitempty"`
	Opened    *Incident  `json:"opened,omitempty"`
	Escalated *Escalated `json:"escalated,omitempty"`
	Silence   *Silence   `json:"silence,omitempty"`
	Notified  *Notified  `json:"notified,omitempty"`
	Severity  Severity   `json:"severity,omitempty"` // of raised
}

// MaxReason bounds the text of a reason in bytes.
const MaxReason = 1024

// Extended are alerts of SourceExternal and a group that end at Until or later: those
// of Alerts, or, without, all that fire but for Except.
type Extended struct {
	Group  string `json:"group,omitempty"`
	Alerts []Key  `json:"alerts,omitempty"`
	Except []Key  `json:"except,omitempty"`
}

// Escalated says which level is told, and to whom.
type Escalated struct {
	Cycle   int      `json:"cycle"`
	Level   int      `json:"level"`
	Targets []string `json:"targets"`
}

// Notified is a notification that was sent, or was not.
type Notified struct {
	Group      string `json:"group"`
	Receiver   string `json:"receiver"`
	Firing     []Key  `json:"firing,omitempty"`
	Resolved   []Key  `json:"resolved,omitempty"`
	Token      uint64 `json:"token,omitempty"` // of the claim; rises for a group and receiver
	Attempt    int    `json:"attempt,omitempty"`
	Millis     int64  `json:"millis,omitempty"`
	Error      string `json:"error,omitempty"` // a class, never a credential
	Escalation bool   `json:"escalation,omitempty"`
}

// Silence keeps notifications of matching alerts back. Matchers are in the syntax
// of Alertmanager.
type Silence struct {
	ID       string    `json:"id"`
	Tenant   string    `json:"tenant,omitempty"`
	Matchers []string  `json:"matchers"`
	Starts   time.Time `json:"starts"`
	Ends     time.Time `json:"ends"`
	By       string    `json:"by"`
	Comment  string    `json:"comment,omitempty"`
}
