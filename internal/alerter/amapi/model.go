package amapi

import (
	"encoding/json"
	"fmt"
	"time"
)

// What is written and read is that of Alertmanager's API version 2, openapi.yaml of
// its release 0.34.

// stamp is a time as Alertmanager writes it, in milliseconds.
type stamp time.Time

func (s stamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(s).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// UnmarshalJSON takes "" and null for no time.
func (s *stamp) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil || text == "" {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("time %.64q is not of RFC 3339", text)
	}
	if y := t.UTC().Year(); !t.IsZero() && (y < 1970 || y > 9998) {
		return fmt.Errorf("time %.64q is beyond all years", text)
	}
	*s = stamp(t)
	return nil
}

type postableAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    stamp             `json:"startsAt"`
	EndsAt      stamp             `json:"endsAt"`
	Source      string            `json:"generatorURL"`
}

type gettableAlert struct {
	Annotations map[string]string `json:"annotations"`
	EndsAt      stamp             `json:"endsAt"`
	Fingerprint string            `json:"fingerprint"`
	Receivers   []receiver        `json:"receivers"`
	StartsAt    stamp             `json:"startsAt"`
	Status      alertStatus       `json:"status"`
	UpdatedAt   stamp             `json:"updatedAt"`
	Source      string            `json:"generatorURL,omitempty"`
	Labels      map[string]string `json:"labels"`
}

type alertStatus struct {
	InhibitedBy []string `json:"inhibitedBy"`
	MutedBy     []string `json:"mutedBy"`
	SilencedBy  []string `json:"silencedBy"`
	State       string   `json:"state"` // active, suppressed
}

type receiver struct {
	Name string `json:"name"`
}

type alertGroup struct {
	Alerts   []gettableAlert   `json:"alerts"`
	Labels   map[string]string `json:"labels"`
	Receiver receiver          `json:"receiver"`
}

type matcher struct {
	IsEqual *bool  `json:"isEqual"` // absent: true
	IsRegex bool   `json:"isRegex"`
	Name    string `json:"name"`
	Value   string `json:"value"`
}

type silence struct {
	ID        string         `json:"id,omitempty"`
	Status    *silenceStatus `json:"status,omitempty"`
	UpdatedAt *stamp         `json:"updatedAt,omitempty"`
	Comment   string         `json:"comment"`
	CreatedBy string         `json:"createdBy"`
	EndsAt    stamp          `json:"endsAt"`
	Matchers  []matcher      `json:"matchers"`
	StartsAt  stamp          `json:"startsAt"`
}

type silenceStatus struct {
	State string `json:"state"` // active, pending, expired
}

type status struct {
	Cluster struct {
		Peers  []string `json:"peers"`
		Status string   `json:"status"`
	} `json:"cluster"`
	Config struct {
		Original string `json:"original"`
	} `json:"config"`
	Uptime      stamp             `json:"uptime"`
	VersionInfo map[string]string `json:"versionInfo"`
}
