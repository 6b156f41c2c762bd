package alerts_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
)

var update = flag.Bool("update", false, "write entries of kinds that have no file yet")

var goldenTime = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// goldenFiles are entries in the form of version 1 by name, of each event of Every.
func goldenFiles(t testing.TB) (names []string, events []alerts.Event) {
	seen := map[alerts.Kind]bool{}
	for _, e := range alertstest.Every(goldenTime) {
		name := string(e.Kind)
		switch {
		case e.Fired != nil && e.Fired.File == alerts.SourceExternal:
			name = "fired_external"
		case seen[e.Kind]:
			continue // a second one of the kind
		}
		seen[e.Kind] = true
		names, events = append(names, filepath.Join("testdata", "v1", name+".json")), append(events, e)
	}
	for _, k := range []alerts.Kind{
		alerts.EventFired, alerts.EventResolved, alerts.EventExtended, alerts.EventOpened, alerts.EventReopened, alerts.EventClosed, alerts.EventAcked, alerts.EventUnacked, alerts.EventAckExpired,
		alerts.EventRaised, alerts.EventEscalated, alerts.EventRepeated, alerts.EventExhausted, alerts.EventJoined, alerts.EventHeld, alerts.EventContinued,
		alerts.EventSilenced, alerts.EventUnsilenced, alerts.EventNotified, alerts.EventNotifyFailed, alerts.EventNotifyDropped,
	} {
		if !seen[k] {
			t.Errorf("there is no %s among Every", k)
		}
	}
	return names, events
}

// TestI7EntriesOfVersion1: what was written is read as it was meant, for ever. A file
// is never changed.
func TestI7EntriesOfVersion1(t *testing.T) {
	names, events := goldenFiles(t)
	for n, name := range names {
		b, err := os.ReadFile(name)
		if os.IsNotExist(err) && *update {
			b = indented(t, events[n])
			err = os.WriteFile(name, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, bad, err := alerts.DecodeEvents(b)
		if err != nil || bad != 0 || len(got) != 1 || !reflect.DeepEqual(got[0], events[n]) {
			t.Errorf("%s: %+v\nwant %+v, %d, %v", name, got, events[n], bad, err)
		}
		if now := indented(t, events[n]); !bytes.Equal(now, b) {
			t.Errorf("%s would be written today as\n%s", name, now)
		}
	}
	files, err := filepath.Glob("testdata/v1/*.json")
	if err != nil || len(files) != len(names) {
		t.Errorf("%d files of %d kinds: %v", len(files), len(names), err)
	}
}

func indented(t *testing.T, e alerts.Event) []byte {
	t.Helper()
	b, err := alerts.EncodeEvents([]alerts.Event{e})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "\t"); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// TestEveryFits: the events of Every are a history.
func TestEveryFits(t *testing.T) {
	s := alerts.NewState()
	for n, e := range alertstest.Every(goldenTime) {
		before := s.Counts()
		s.Apply(alerts.Entry{At: uint64(n + 1), StoredAt: goldenTime.Add(time.Duration(n) * time.Second), Events: []alerts.Event{e}})
		if s.Counts() != before {
			t.Errorf("%s does not fit: %+v", e.Kind, s.Counts())
		}
	}
}

// TestI7WhatTheFutureWrites is passed over: kinds, fields, and fields of another type.
func TestI7WhatTheFutureWrites(t *testing.T) {
	text := `{"version":7,"events":[
		{"kind":"merged","at":"2026-03-01T12:00:00Z","incident":"I","into":{"id":"J"}},
		{"kind":"acked","at":{"seconds":5},"incident":"I"},
		"acked", null, {},
		{"kind":"fired","alert":"a","fired":{"key":"a","rule":"A","labels":{"alertname":"A"},"owner":["x"]},"why":"new"}]}`
	events, bad, err := alerts.DecodeEvents([]byte(text))
	if err != nil || bad != 2 || len(events) != 6 {
		t.Fatalf("%+v, %d, %v", events, bad, err)
	}
	if events[0].Kind != "merged" || events[1].Kind == alerts.EventAcked {
		t.Errorf("%+v", events[:2])
	}
	s := alerts.NewState()
	s.Apply(alerts.Entry{At: 1, Events: events})
	if got := s.Alerts(alerts.Filter{}); len(got) != 1 || got[0].Rule != "A" || s.Counts() != (alerts.Counts{Unknown: 5}) {
		t.Errorf("%+v, %+v", got, s.Counts())
	}
	for _, text := range []string{``, `[]`, `"x"`, `{"events":{}}`, `{"events":[`} {
		if _, _, err := alerts.DecodeEvents([]byte(text)); err == nil {
			t.Errorf("%s is an entry", text)
		}
	}
}

// FuzzEntry: whatever is in the log can be read and applied, and snapshots of it can be
// stored and read.
func FuzzEntry(f *testing.F) {
	names, _ := goldenFiles(f)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	all, err := alerts.EncodeEvents(alertstest.Every(goldenTime))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(all)
	f.Add([]byte(`{"events":[null,5,{"kind":"opened","incident":"I","opened":{"id":"I","policy":{"reopen":-9223372036854775808}}},{"kind":"closed","incident":"I"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, bad, err := alerts.DecodeEvents(b)
		if err != nil {
			return
		}
		if bad > len(events) {
			t.Errorf("%d of %d are bad", bad, len(events))
		}
		s := alerts.NewState()
		s.Apply(alerts.Entry{At: 1, StoredAt: goldenTime, Events: events})
		s.Apply(alerts.Entry{At: 2, StoredAt: goldenTime.Add(time.Hour), Events: events})
		c := s.Counts()
		if c.Misfits+c.Unknown > 2*uint64(len(events)) {
			t.Errorf("%+v of %d", c, len(events))
		}
		snap := s.Snapshot()
		stored, err := json.Marshal(snap)
		if err != nil {
			return // a time beyond the year 9999, which was a duration too much
		}
		var back alerts.Snapshot
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatal(err)
		}
		again := alerts.NewState()
		again.Apply(alerts.Entry{At: 2, StoredAt: goldenTime.Add(time.Hour), Snapshot: &back})
		if x, y := len(again.Alerts(alerts.Filter{})), len(s.Alerts(alerts.Filter{})); x != y {
			t.Errorf("%d alerts of %d", x, y)
		}
		for _, i := range again.Incidents(alerts.Filter{}) {
			if _, err := again.Resolve(i.ID, "ann", "", goldenTime); (err == nil) != (i.Status != alerts.Closed) {
				t.Errorf("%+v: %v", i, err)
			}
		}
		again.Owed()
	})
}
