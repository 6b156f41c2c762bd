package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Ask runs the penstock command against the role's admin port and gives what it
// prints and its exit code.
func (r *Role) Ask(args ...string) (stdout string, code int) {
	r.t.Helper()
	cmd := exec.Command(Binary(r.t, Penstock), append(args, "--admin", r.AdminAddr)...)
	for _, kv := range os.Environ() { // what configures the roles is not for the operator
		if !strings.HasPrefix(kv, "PENSTOCK_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		r.t.Logf("penstock %s: exit code %d: %s", strings.Join(args, " "), exit.ExitCode(), errs.String())
		return out.String(), exit.ExitCode()
	} else if err != nil {
		r.t.Fatalf("penstock %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), 0
}

// Read is Ask for JSON into v, and fails the test unless the exit code is 0.
func (r *Role) Read(v any, args ...string) {
	r.t.Helper()
	out, code := r.Ask(append(args, "-o", "json")...)
	if code != 0 {
		r.t.Fatalf("penstock %s: exit code %d:\n%s", strings.Join(args, " "), code, out)
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		r.t.Fatalf("penstock %s: %v:\n%s", strings.Join(args, " "), err, out)
	}
}

// Status reads the status of the process into v, and tells whether it answers.
func (r *Role) Status(v any) bool {
	r.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://" + r.AdminAddr + "/api/v1/status")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(v) == nil
}

// Row of the ledger: items of a signal for a destination.
type Row struct {
	Signal, Destination                                     string
	Accepted, Pending, Exported, Rejected, Redriven, Purged uint64
	Unwanted                                                uint64
	DeadLettered                                            uint64 `json:"dead_lettered"`
	Missing, Uncounted, Explained                           uint64
	CountedTwice                                            uint64 `json:"counted_twice"`
	PossibleDuplicates                                      uint64 `json:"possible_duplicates"`
	Balance                                                 int64
}

// Sum adds the figures of both rows.
func (a Row) Sum(b Row) Row {
	a.Accepted, a.Pending, a.Exported, a.Rejected = a.Accepted+b.Accepted, a.Pending+b.Pending, a.Exported+b.Exported, a.Rejected+b.Rejected
	a.Unwanted += b.Unwanted
	a.Redriven, a.Purged, a.DeadLettered = a.Redriven+b.Redriven, a.Purged+b.Purged, a.DeadLettered+b.DeadLettered
	a.Missing, a.Uncounted, a.Explained = a.Missing+b.Missing, a.Uncounted+b.Uncounted, a.Explained+b.Explained
	a.CountedTwice, a.PossibleDuplicates, a.Balance = a.CountedTwice+b.CountedTwice, a.PossibleDuplicates+b.PossibleDuplicates, a.Balance+b.Balance
	return a
}

// Ledger waits until nothing of the destination is pending, or known of and not
// counted, and gives the sum of its rows. accepted is what they must have come
// to; `penstock status --check` must find nothing wrong.
func (r *Role) Ledger(destination string, accepted uint64, patience time.Duration) (sum Row) {
	r.t.Helper()
	Until(r.t, patience, func() string {
		return fmt.Sprintf("the ledger has settled %d items for %s: %+v", accepted, destination, sum)
	}, func() bool {
		var status struct{ Ledger struct{ Signals []Row } }
		if out, code := r.Ask("status", "-o", "json"); code != 0 || json.Unmarshal([]byte(out), &status) != nil {
			return false
		}
		sum = Row{Destination: destination}
		for _, row := range status.Ledger.Signals {
			if row.Destination == destination {
				sum = sum.Sum(row)
			}
		}
		return sum.Accepted == accepted && sum.Pending == 0 && sum.Balance == 0 && sum.Uncounted == sum.Explained
	})
	said, code := "", 1
	for deadline := time.Now().Add(30 * time.Second); code != 0 && time.Now().Before(deadline); time.Sleep(2 * time.Second) {
		said, code = r.Ask("status", "--check") // a process that was killed counts as one for a while
	}
	if code != 0 {
		all, _ := r.Ask("status", "-o", "json")
		r.t.Errorf("penstock status --check: exit code %d: %s\n%s", code, said, all)
	}
	return sum
}
