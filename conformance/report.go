package conformance

import (
	"fmt"
	"io"
	"strings"
)

// Version of the specification that the rows are of.
const Version = "1.11"

// Report is the result of a run.
type Report struct {
	Specification string   `json:"specification"`
	Rows          []Result `json:"rows"`
}

// Result of one row.
type Result struct {
	Row
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // why it does not apply, or what was noted
	Cases   []Case  `json:"cases"`
}

func newReport() *Report { return &Report{Specification: "OTLP " + Version} }

func (r *Report) add(row Row, cases []Case) {
	res := Result{Row: row, Outcome: sum(cases), Cases: cases}
	if res.Outcome == NotApplicable || res.Outcome == Note {
		var reasons []string
		for _, c := range cases {
			if c.Outcome == res.Outcome && (len(reasons) == 0 || reasons[len(reasons)-1] != c.Reason) {
				reasons = append(reasons, c.Reason)
			}
		}
		res.Reason = strings.Join(reasons, "; ")
	}
	r.Rows = append(r.Rows, res)
}

// Failed tells whether a MUST or SHOULD does not hold.
func (r *Report) Failed() bool {
	for i := range r.Rows {
		if r.Rows[i].Outcome == Fail && r.Rows[i].binding() {
			return true
		}
	}
	return false
}

// Count is the number of rows with the outcome.
func (r *Report) Count(o Outcome) (n int) {
	for i := range r.Rows {
		if r.Rows[i].Outcome == o {
			n++
		}
	}
	return n
}

// Summary is one line.
func (r *Report) Summary() string {
	return fmt.Sprintf("%d rows of %s: %d pass, %d fail, %d n.a., %d notes", len(r.Rows), r.Specification, r.Count(Pass), r.Count(Fail), r.Count(NotApplicable), r.Count(Note))
}

// lines wraps what is written, so that a writer's error is seen once.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) printf(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format, args...)
	}
}

// WriteTable is for people: a line a row, and below each failure what was sent,
// expected and seen.
func (r *Report) WriteTable(w io.Writer) error {
	l := &lines{w: w}
	for i := range r.Rows {
		row := &r.Rows[i]
		l.printf("%-4s %-5s %-18s %s\n", row.ID, row.Outcome, row.Level, row.Rule)
		if row.Reason != "" {
			l.printf("%29s%s\n", "", row.Reason)
		}
		for _, c := range row.Cases {
			if c.Outcome == Fail {
				l.printf("%11s%s\n%13ssent:     %s\n%13sexpected: %s\n%13sseen:     %s\n", "", c.Name, "", c.Sent, "", c.Expected, "", c.Seen)
			}
		}
	}
	l.printf("%s\n", r.Summary())
	return l.err
}

// WriteList prints the rows without running them.
func WriteList(w io.Writer) error {
	l := &lines{w: w}
	for _, row := range Rows() {
		l.printf("%-4s %-18s %s\n%24s%s\n", row.ID, row.Level, row.Rule, "", row.Section)
	}
	return l.err
}

// WriteComparison puts reports side by side, as Markdown.
func WriteComparison(w io.Writer, names []string, reports []*Report) error {
	l := &lines{w: w}
	l.printf("| row | level | rule |")
	for _, n := range names {
		l.printf(" %s |", n)
	}
	l.printf("\n|---|---|---|%s\n", strings.Repeat("---|", len(names)))
	outcomes := make([]map[string]*Result, len(reports))
	for i, r := range reports {
		outcomes[i] = map[string]*Result{}
		for j := range r.Rows {
			outcomes[i][r.Rows[j].ID] = &r.Rows[j]
		}
	}
	for _, row := range Rows() {
		l.printf("| %s | %s | %s |", row.ID, row.Level, cell(row.Rule))
		for _, o := range outcomes {
			l.printf(" %s |", o[row.ID].cell())
		}
		l.printf("\n")
	}
	l.printf("\n")
	for i, r := range reports {
		l.printf("%s: %s.\n\n", names[i], r.Summary())
	}
	return l.err
}

// cell is a result in a table: a failure with the first case that failed, and
// how many did.
func (r *Result) cell() string {
	if r == nil {
		return "not run"
	}
	if r.Outcome != Fail {
		if r.Reason == "" {
			return string(r.Outcome)
		}
		return cell(string(r.Outcome) + ": " + r.Reason)
	}
	failed, text := 0, ""
	for _, c := range r.Cases {
		if c.Outcome == Fail {
			if failed == 0 {
				text = c.Name + ": " + c.Seen
			}
			failed++
		}
	}
	return cell(fmt.Sprintf("**fail** (%d of %d cases): %s", failed, len(r.Cases), text))
}

// cell makes text fit a cell of Markdown.
func cell(s string) string {
	if runes := []rune(s); len(runes) > 240 {
		s = string(runes[:240]) + "…"
	}
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace(s)
}
