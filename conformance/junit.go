package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Skipped *junitSkipped `xml:"skipped,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the report for CI systems: a test for each case, of the
// class of its row. What does not apply is skipped; a note passes.
func (r *Report) WriteJUnit(w io.Writer) error {
	s := junitSuite{Name: "otlp-conformance, " + r.Specification}
	for i := range r.Rows {
		row := &r.Rows[i]
		for _, c := range row.Cases {
			t := junitCase{Class: row.ID + " (" + row.Level + ")", Name: c.Name}
			switch c.Outcome {
			case Fail:
				s.Failures++
				t.Failure = &junitFailure{row.Rule, fmt.Sprintf("sent: %s\nexpected: %s\nseen: %s", c.Sent, c.Expected, c.Seen)}
			case NotApplicable:
				s.Skipped++
				t.Skipped = &junitSkipped{c.Reason}
			case Note:
				t.Out = c.Reason
			}
			s.Tests++
			s.Cases = append(s.Cases, t)
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
