package alerts

import (
	"encoding/json"
	"fmt"
)

// EncodeEvents is the stored form of an entry: {"events":[…]}. It is ErrTooLarge
// beyond MaxEvents or MaxEntryBytes.
func EncodeEvents(events []Event) ([]byte, error) {
	if len(events) == 0 {
		return nil, fmt.Errorf("an entry without events: want 1 to %d", MaxEvents)
	}
	if len(events) > MaxEvents {
		return nil, fmt.Errorf("%d events: %w: want at most %d", len(events), ErrTooLarge, MaxEvents)
	}
	b, err := json.Marshal(struct {
		Events []Event `json:"events"`
	}{events})
	if err != nil {
		return nil, fmt.Errorf("encode %d events from %s on: %w", len(events), events[0].Kind, err)
	}
	if len(b) > MaxEntryBytes {
		return nil, fmt.Errorf("%d events from %s of %s on are %d bytes: %w: want at most %d", len(events), events[0].Kind, events[0].subject(), len(b), ErrTooLarge, MaxEntryBytes)
	}
	return b, nil
}

// DecodeEvents reads what any version has encoded. Fields that this one does not know
// are passed over; of events that it cannot read nothing but the kind is left, and
// their number is bad. An error is of what is no entry at all.
func DecodeEvents(b []byte) (events []Event, bad int, err error) {
	var raw struct {
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, 0, fmt.Errorf("an entry of alerts: %w", err)
	}
	events = make([]Event, len(raw.Events))
	for i, r := range raw.Events {
		if json.Unmarshal(r, &events[i]) == nil {
			continue
		}
		bad++
		var k struct {
			Kind Kind `json:"kind"`
		}
		_ = json.Unmarshal(r, &k) // then it has none either
		events[i] = Event{Kind: "unreadable " + k.Kind}
	}
	return events, bad, nil
}

// subject is what an event is about, for errors.
func (e *Event) subject() string {
	switch {
	case e.Alert != "":
		return "alert " + string(e.Alert)
	case e.Incident != "":
		return "incident " + e.Incident
	}
	return "tenant " + e.Tenant
}
