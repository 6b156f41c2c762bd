package alerts

import "time"

// Finding is one active alert of one evaluation. Times are slots.
type Finding struct {
	Rule                string
	Labels, Annotations Labels
	Firing              bool // else pending; of SourceExternal: else it has ended
	Value               float64
	// ActiveAt is when its condition began to hold, FiredAt when it had held for
	// long enough; zero while pending.
	ActiveAt, FiredAt time.Time
	Trace             string
	// Of SourceExternal: when it ends unless it is posted again, where it is from, and
	// whether another alerter has pushed it.
	EndsAt time.Time
	Source string
	Pushed bool
}

// Evaluation is what one slot of one group of a tenant found. Of SourceExternal, At is
// when it was posted, and what is not in Active is not spoken of.
type Evaluation struct {
	Tenant, File, Group string
	At                  time.Time
	// Evaluated are the alerting rules of which Active has every alert. An alert of
	// a rule in Failed is unknown, not absent.
	Evaluated, Failed []string
	Active            []Finding
}

// Alert is one that fires, or did.
type Alert struct {
	Key    Key    `json:"key"`
	Tenant string `json:"tenant,omitempty"`
	// File, Group and Rule say where it is from; File is SourceExternal for those
	// that were posted.
	File        string    `json:"file,omitempty"`
	Group       string    `json:"group,omitempty"`
	Rule        string    `json:"rule"`
	Labels      Labels    `json:"labels"`
	Annotations Labels    `json:"annotations,omitempty"`
	Value       float64   `json:"value"`
	ActiveAt    time.Time `json:"active_at"`
	FiredAt     time.Time `json:"fired_at"`
	ResolvedAt  time.Time `json:"resolved_at,omitzero"`
	// Watermark is the slot of the last transition: an evaluation of an earlier or
	// the same one changes nothing.
	Watermark time.Time `json:"watermark"`
	Incident  string    `json:"incident,omitempty"`
	Trace     string    `json:"trace,omitempty"`
	// EndsAt is when one that was posted ends unless it is posted again; zero: never by
	// itself. It does not move nearer. Source is the link that came with it. Pushed is
	// one that another alerter has pushed: it is not pushed on.
	EndsAt time.Time `json:"ends_at,omitzero"`
	Source string    `json:"source,omitempty"`
	Pushed bool      `json:"pushed,omitempty"`
}

// SourceExternal is the File of alerts that others evaluated.
const SourceExternal = "external"

// Severity is that of its labels.
func (a *Alert) Severity() Severity { return Severity(a.Labels.Get("severity")) }
