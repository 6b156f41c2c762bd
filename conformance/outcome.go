package conformance

import "fmt"

// Outcome of a case, and of a row.
type Outcome string

// Outcomes. A note says what the endpoint does where the specification leaves
// it open.
const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	NotApplicable Outcome = "n.a."
	Note          Outcome = "note"
)

// Verdict on one case: why it does not apply, what was noted, or what went
// wrong, in the words of what was sent, expected and seen.
type Verdict struct {
	Outcome  Outcome `json:"outcome"`
	Reason   string  `json:"reason,omitempty"`
	Sent     string  `json:"sent,omitempty"`
	Expected string  `json:"expected,omitempty"`
	Seen     string  `json:"seen,omitempty"`
}

// passed is the verdict on a case that holds.
var passed = Verdict{Outcome: Pass}

func failed(sent, expected, seen string) Verdict {
	return Verdict{Outcome: Fail, Sent: bound(sent), Expected: expected, Seen: bound(seen)}
}

func notApplicable(format string, args ...any) Verdict {
	return Verdict{Outcome: NotApplicable, Reason: bound(fmt.Sprintf(format, args...))}
}

func noted(format string, args ...any) Verdict {
	return Verdict{Outcome: Note, Reason: bound(fmt.Sprintf(format, args...))}
}

// maxText bounds each text of a verdict, in bytes: an endpoint can answer
// anything.
const maxText = 400

// bound cuts s and makes it printable.
func bound(s string) string {
	out := make([]rune, 0, min(len(s), maxText))
	for _, r := range s {
		if len(out) == maxText {
			return string(out) + "…"
		}
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}

// sum is the outcome of a row: one failure fails it, one pass passes it, and
// without either it is noted before it does not apply.
func sum(cases []Case) Outcome {
	out := NotApplicable
	rank := map[Outcome]int{NotApplicable: 0, Note: 1, Pass: 2, Fail: 3}
	for _, c := range cases {
		if rank[c.Outcome] > rank[out] {
			out = c.Outcome
		}
	}
	return out
}
