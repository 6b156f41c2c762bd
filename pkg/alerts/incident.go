package alerts

import "time"

// Status of an incident.
type Status string

// An incident is open until somebody takes it or it ends.
const (
	Open   Status = "open"
	Taken  Status = "acked"
	Closed Status = "closed"
)

// Incident is what people answer to: all alerts of a tenant with one policy and the
// same values of its GroupBy.
type Incident struct {
	ID       string   `json:"id"` // ULID
	Tenant   string   `json:"tenant,omitempty"`
	Group    string   `json:"group"` // policy and values, by which an alert finds its incident
	Title    string   `json:"title"`
	Severity Severity `json:"severity,omitempty"` // the worst of its alerts, which does not fall
	Policy   Policy   `json:"policy"`             // as it was at the beginning
	Status   Status   `json:"status"`

	OpenedAt time.Time `json:"opened_at"`
	ClosedAt time.Time `json:"closed_at,omitzero"`
	AckedBy  string    `json:"acked_by,omitempty"`
	AckedAt  time.Time `json:"acked_at,omitzero"`
	AckUntil time.Time `json:"ack_until,omitzero"` // zero: until it ends

	// Cycle counts the goings through the levels, from 1, CycleAt is when this one
	// began and Level the last one told of it, from 1; 0: none.
	Cycle   int       `json:"cycle"`
	CycleAt time.Time `json:"cycle_at"`
	Level   int       `json:"level,omitempty"`
	LevelAt time.Time `json:"level_at,omitzero"` // when Level was told
	// Repeated counts the cycles that only time began, since something else did.
	Repeated  int  `json:"repeated,omitempty"`
	Exhausted bool `json:"exhausted,omitempty"`
	// Held: a level came while all that fires was muted, and waits for the end of it.
	Held bool `json:"held,omitempty"`
	// Generation rises with each change that makes timers void.
	Generation uint64 `json:"generation"`

	// Told are the receivers that the policy had told, sorted: of what last and when.
	Told []Told `json:"told,omitempty"`

	// Firing is sorted. Resolved are the last MaxResolved in the order in which they
	// ended. Joined are those, sorted, of which nobody was told that has acked.
	Firing   []Key `json:"firing,omitempty"`
	Resolved []Key `json:"resolved,omitempty"`
	Joined   []Key `json:"joined,omitempty"`
}

// Told is what a receiver was last to be told of an incident.
type Told struct {
	Target string    `json:"target"`
	At     time.Time `json:"at"` // when the log stored it
	Cycle  int       `json:"cycle"`
	Level  int       `json:"level,omitempty"` // 0: that it is exhausted
}

// MaxResolved bounds the alerts that an incident remembers to have ended.
const MaxResolved = 1000
