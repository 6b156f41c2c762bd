package audit

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var write = flag.Bool("write", false, "write the golden files of this version that are not there")

// golden are entries of version 1 as they lie in the stream. They are never
// changed: a later version adds its own.
func golden() []Entry {
	at := time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC)
	return []Entry{
		{N: 1, Prev: genesis, Event: Event{At: at, Action: "process started", Outcome: Done, Process: "gateway-a-0123456789", Details: []Detail{{"version", "v1.2.3"}}}},
		{N: 2, Prev: strings.Repeat("ab", 32), Event: Event{At: at.Add(time.Second), Action: "purge dead letters", Outcome: Failed, Reason: `queue is "unavailable" <&>`,
			Subject: "jwt:https://issuer.example#ops", Method: "jwt", Tenant: "shop", Peer: "192.0.2.7:1234", Listener: "admin", Process: "worker-b-0123456789",
			Details: []Detail{{"filter", "{}"}, {"letters", "0"}}}},
		{N: 3, Prev: strings.Repeat("0c", 32), Event: Event{At: at.Add(time.Minute), Action: Authenticate, Outcome: Refused, Reason: "expired", Subject: "jwt:ü", Peer: "2001:db8::/64",
			Listener: "otlp_grpc", Process: "gateway-a-0123456789", Count: 17}},
		{N: 4, Prev: strings.Repeat("9d", 32), Purged: &Head{N: 2, Hash: strings.Repeat("0c", 32)},
			Event: Event{At: at.Add(time.Hour), Action: "purge audit entries", Outcome: Done, Reason: reasonAge, Process: "gateway-a-0123456789"}},
	}
}

// TestGolden: what was written by any version is read by this one, and this one
// writes the same bytes still: they are what the next entry has the hash of.
func TestGolden(t *testing.T) {
	for i, e := range golden() {
		file := filepath.Join("testdata", "entry-v1-"+string(rune('a'+i))+".json")
		body, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); *write && os.IsNotExist(err) {
			if err := os.WriteFile(file, body, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(body) != string(want) {
			t.Errorf("%s: an entry is\n%s\nwant\n%s", file, body, want)
		}
		got, err := parse(want)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s is read as %+v, %v", file, got, err)
		}
	}
	if h := hashOf([]byte("abc")); h != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" { // FIPS 180-4, SHA-256 of "abc"
		t.Error(h)
	}
}

// TestNewerEntry: what a later version adds is passed over.
func TestNewerEntry(t *testing.T) {
	e, err := parse([]byte(`{"n":7,"prev":"` + genesis + `","later":{"x":1},"event":{"action":"a","outcome":"done","more":[1]}}`))
	if err != nil || e.N != 7 || e.Event.Action != "a" {
		t.Fatalf("%+v, %v", e, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for body, want := range map[string]string{
		"":                        "no JSON",
		"[]":                      "no JSON",
		"\x00\x1b[31m":            "no JSON",
		"{}":                      "no number",
		`{"n":1,"prev":"\u001b"}`: `its prev is "�"`,
		`{"n":1,"prev":"` + strings.ToUpper(strings.Repeat("ab", 32)) + `"}`: "its prev",
		`{"n":1,"prev":"` + genesis + `","purged":{"n":0}}`:                  "removed entries",
		`{"n":-1}`: "no JSON",
	} {
		if _, err := parse([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
}

func TestParseHead(t *testing.T) {
	h := Head{N: 12, Hash: strings.Repeat("ab", 32)}
	for _, s := range []string{h.String(), " " + strings.ToUpper(h.String()) + "\n"} {
		if got, err := ParseHead(s); err != nil || got != h {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "12", "0:" + h.Hash, "12:" + h.Hash[1:], "x:" + h.Hash, "12:" + h.Hash + "a", "12:zz" + h.Hash[2:]} {
		if got, err := ParseHead(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

// TestBounded: nothing that stands in an event can become large, be obeyed by a
// terminal, or be a credential.
func TestBounded(t *testing.T) {
	const key = "pk_live_0123456789abcdef"
	huge := strings.Repeat("\x1b[2Jä\u202e", 1<<16)
	e := Event{Action: huge, Outcome: huge, Reason: "Authorization: Bearer " + key, Subject: "a\nb\tc\x7f\u009b", Peer: huge, Tenant: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"}
	for range 1000 {
		e.Details = append(e.Details, Detail{huge, huge}, Detail{"url", "https://user:" + key + "@example.com/x"}, Detail{"query", "api_key=" + key + "&x=1"}, Detail{"json", `{"token":"` + key + `"}`})
	}
	b := e.bounded()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 24<<10 || len(b.Details) != maxDetails {
		t.Errorf("it has %d bytes and %d details", len(text), len(b.Details))
	}
	for _, s := range []string{key, "\x1b", "\\u001b", "\u202e", "\u009b", "eyJ", "\\n"} {
		if strings.Contains(string(text), s) {
			t.Errorf("%q is in it", s)
		}
	}
	for _, s := range []string{b.Action, b.Peer, b.Details[0].Value} {
		if len(s) > maxText || !strings.HasSuffix(s, "…") {
			t.Errorf("%d bytes: %q", len(s), s)
		}
	}
	if b.Subject != "a�b�c��" || b.Details[1].Value != "https://[redacted]@example.com/x" || b.Details[2].Value != "api_key=[redacted]&x=1" {
		t.Errorf("%+v", b.Details[:3])
	}
	plain := Event{Action: "start replay", Details: []Detail{{"spec", `{"headers":[{"name":"authorization","value":"Bearer ${env:PENSTOCK_REPLAY_TOKEN}"}]}`}}}
	if got := plain.bounded(); !reflect.DeepEqual(got.Details, plain.Details) {
		t.Errorf("a reference was changed: %+v", got)
	}
}
