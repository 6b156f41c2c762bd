package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
)

// down is a destination that takes nothing, with its last answer.
func down(code, text string) api.Destination {
	return api.Destination{Name: "backend", Protocol: "grpc", Workers: []string{"w"}, Breaker: "open",
		LastError: &fleet.Error{At: time.Now().Add(-time.Hour - time.Second), Code: code, Text: `destination "backend": ` + text}}
}

// Whoever looks at a status at night reads what the destination said, whole, and
// what helps.
func TestWhatAilsADestinationIsSaidWithItsRemedy(t *testing.T) {
	for _, c := range []struct{ code, text, want string }{
		{"UNAUTHENTICATED", "127.0.0.1:5317 answered: invalid token", "UNAUTHENTICATED: 127.0.0.1:5317 answered: invalid token. It refuses the credentials: see to headers, auth and tls"},
		{"no_token", "no token to authenticate with: token endpoint 127.0.0.1:1: connection refused", "connection refused. Without a token nothing is sent: see to auth"},
		{"HTTP 403", "no", "refuses the credentials"},
		{"UNIMPLEMENTED", "unknown service", "see to protocol, endpoints and signals"},
		{"no_connection", "no connection to 127.0.0.1:5317: connection refused", "connection refused. See whether it runs"},
		{"UNAVAILABLE", "the ring has no members", "UNAVAILABLE: the ring has no members"},
	} {
		text := strings.Join(strings.Fields(destinationLine(down(c.code, c.text))), " ")
		if c.code == "UNAVAILABLE" && !strings.HasSuffix(text, c.want) { // it speaks for itself
			t.Errorf("%s is shown as %q, want nothing behind it", c.code, text)
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%s is shown as %q, want %q", c.code, text, c.want)
		}
	}
	healthy := down("UNAVAILABLE", "gone")
	healthy.LastSuccess = p(time.Now())
	if text := destinationLine(healthy); strings.Contains(text, "gone") {
		t.Errorf("an error of before the last success is shown: %q", text)
	}
}

// What waits is no fault of the queue: --check names it and stays ok.
func TestCheckNamesWhatWaits(t *testing.T) {
	failing := job.Job{ID: "a", Kind: "replay", Phase: job.PhaseRunning, Error: "no connection; tried again"}
	once := down("UNAVAILABLE", "busy") // of a single failure nothing follows
	once.Breaker = "closed"
	s := api.Status{OK: true, Destinations: []api.Destination{once, down("UNAUTHENTICATED", "invalid token"), {Name: "old"}, {Name: "fine", Workers: []string{"w"}, Breaker: "closed"}},
		Jobs: []api.JobView{{Job: failing}, {Job: job.Job{ID: "b", Kind: "redrive", Phase: job.PhasePending}, Why: "no worker has it"}, {Job: job.Job{ID: "c", Phase: job.PhaseRunning}}}}
	var b bytes.Buffer
	if err := checkText(&b, s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := []string{"ok: ", "note: destination backend takes nothing: failed 1h00m ago, UNAUTHENTICATED: invalid token", "note: no running worker has destination old; ",
		"note: replay a: failing, tried again: no connection", "note: redrive b: no worker has it"}
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(want), b.String())
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("line %d is %q, want %q", i, lines[i], w)
		}
	}
}

func TestAJobSaysWhyItDoesNotMove(t *testing.T) {
	f := func(j api.JobView, want string) {
		t.Helper()
		if got := stuck(j); got != want {
			t.Errorf("%s: %q, want %q", j.Phase, got, want)
		}
	}
	f(api.JobView{Job: job.Job{Phase: job.PhaseDone, Error: "x"}, Why: "y"}, "")
	f(api.JobView{Job: job.Job{Phase: job.PhasePaused}, Why: "paused"}, "")
	f(api.JobView{Job: job.Job{Phase: job.PhasePending}}, "")
	f(api.JobView{Job: job.Job{Phase: job.PhasePending}, Why: "no worker has taken it"}, "no worker has taken it")
	f(api.JobView{Job: job.Job{Phase: job.PhaseRunning, Error: "refused; tried again"}}, "failing, tried again: refused")
	if line := jobLine(api.JobView{Job: job.Job{Phase: job.PhaseRunning, Error: "refused"}}, 80); !strings.Contains(line, "refused") {
		t.Errorf("the line of a job that fails says %q", line)
	}
}

func TestFolded(t *testing.T) {
	f := func(text string, lines int, want string) {
		t.Helper()
		got := folded(text, 10, lines, "\n")
		if got != want {
			t.Errorf("%q is folded to %q, want %q", text, got, want)
		}
		for _, line := range strings.Split(got, "\n") {
			if utf8.RuneCountInString(line) > 10 {
				t.Errorf("%q is longer than 10", line)
			}
		}
	}
	f("", 2, "")
	f("one", 2, "one")
	f("one two three four", 3, "one two\nthree four")
	f("a-word-that-is-too-long", 2, "a-word-th…")
	f("one two three four five six", 2, "one two\nthree fou…")
	f("one two three four a b", 2, "one two\nthree fou…")
}
