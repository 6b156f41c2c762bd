package audit

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/identity"
)

func refusal(peer, reason string, at time.Time) Event {
	return Event{At: at, Action: Authenticate, Outcome: Refused, Listener: "otlp_grpc", Peer: peer, Reason: reason}
}

func TestMerge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := newLimiter(now)
	pass := func(want bool, e Event) {
		t.Helper()
		if got := l.take(e, e.At); got != want {
			t.Fatalf("%+v passes: %t", e, got)
		}
	}
	pass(true, refusal("192.0.2.1:5", "unknown", now))
	pass(false, refusal("192.0.2.1:6", "unknown", now.Add(time.Second)))
	pass(false, refusal("192.0.2.99:7", "unknown", now.Add(2*time.Second))) // a neighbour
	pass(true, refusal("192.0.3.1:5", "unknown", now))
	pass(true, refusal("192.0.2.1:5", "expired", now))
	pass(true, refusal("[2001:db8::1]:5", "unknown", now))
	pass(false, refusal("[2001:db8::2]:5", "unknown", now))
	if due := l.due(now.Add(mergeFor-1), false); len(due) != 0 {
		t.Fatalf("too early: %+v", due)
	}
	due := l.due(now.Add(mergeFor), false)
	if len(due) != 2 || due[1].Count != 2 || due[1].Peer != "192.0.2.0/24" || due[1].Reason != "unknown" || !due[1].At.Equal(now.Add(2*time.Second)) ||
		due[0].Count != 1 || due[0].Peer != "[2001:db8::2]:5" {
		t.Fatalf("%+v", due)
	}
	if d := due[1].Details; len(d) != 2 || d[0] != (Detail{"first", "2026-01-01T00:00:01Z"}) || d[1] != (Detail{"last", "2026-01-01T00:00:02Z"}) {
		t.Fatalf("%+v", d)
	}
	if len(l.keys) != 0 || len(l.due(now.Add(time.Hour), true)) != 0 {
		t.Fatal("something is left")
	}
}

// TestFlood: whoever tries from everywhere, with every name, adds little to the
// stream and to memory, and each try is counted.
func TestFlood(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := newLimiter(start)
	tries, counted, entries := 0, 0, 0
	now := start
	for ; now.Before(start.Add(24 * time.Hour)); now = now.Add(time.Second) {
		for i := range 20 {
			e := refusal(fmt.Sprintf("10.%d.%d.1:1", tries/251%251, tries%251), fmt.Sprintf("reason %d", i), now)
			e.Subject = fmt.Sprint("key:", tries)
			tries++
			if l.take(e, now) {
				counted++
				entries++
			}
		}
		for _, e := range l.due(now, false) {
			counted += e.Count
			entries++
		}
		if len(l.keys) > maxKeys || len(l.rest) > maxReasons+1 {
			t.Fatalf("%d keys, %d reasons", len(l.keys), len(l.rest))
		}
	}
	for _, e := range l.due(now, true) {
		counted += e.Count
		entries++
	}
	if counted != tries {
		t.Errorf("%d of %d tries are counted", counted, tries)
	}
	if most := int(burst) + 24*60 + 24*12 + maxKeys + 1; entries > most {
		t.Errorf("%d entries in a day, want at most %d", entries, most)
	}
}

func TestDenied(t *testing.T) {
	f := &identity.Failure{Kind: identity.FailExpired, Message: "the token ended", Subject: "jwt:issuer#me", Err: errors.New("inner")}
	e := Denied("otlp_http", "192.0.2.1:2", fmt.Errorf("wrapped: %w", f))
	if e.Action != Authenticate || e.Outcome != Refused || e.Reason != "expired" || e.Subject != f.Subject || e.Method != "" || e.Listener != "otlp_http" || e.Peer != "192.0.2.1:2" ||
		len(e.Details) != 1 || e.Details[0].Value != f.Message {
		t.Errorf("%+v", e)
	}
	if e := Denied("admin", "", errors.New("odd")); e.Reason != "unknown" || e.Outcome != Refused {
		t.Errorf("%+v", e)
	}
	who := &identity.Identity{Subject: "key:dash", Method: identity.MethodKey, Tenant: "shop"}
	if e := Forbidden("admin", "192.0.2.1:2", who, "role", "operate"); e.Action != Authorize || e.Subject != who.Subject || e.Method != who.Method || e.Tenant != who.Tenant || e.Reason != "role" || e.Details[0].Value != "operate" {
		t.Errorf("%+v", e)
	}
	if e := Forbidden("admin", "", nil, "role", "admin"); e.Subject != "" {
		t.Errorf("%+v", e)
	}
	for peer, want := range map[string]string{"192.0.2.7:1": "192.0.2.0/24", "[::ffff:192.0.2.7]:1": "192.0.2.0/24", "[fe80::1%eth0]:1": "fe80::/64", "": "", "@": "@", "a\x1bb": "a�b"} {
		if got := network(peer); got != want {
			t.Errorf("network of %q is %q, want %q", peer, got, want)
		}
	}
}
