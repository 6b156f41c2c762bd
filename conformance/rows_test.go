package conformance

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// Every row that the specification has for servers and clients.
const wantRows = "T1 G1 G2 G3 G4 G5 G6 G7 G8 G9 G10 G11 G12 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 " +
	"H1 H2 H3 H4 H5 H6 H7 H8 H9 H10 H11 H12 H13 H14 H15 K1 K2 K3 K4 K5 K6 K7 K8 K9 J1 J2 J3 J4 J5 D1 D2 D3 D4 D5"

func TestRowsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rows() {
		if seen[r.ID] || r.Level == "" || r.Section == "" || r.Rule == "" || r.run == nil {
			t.Errorf("row %+v is there twice, or lacks something", r)
		}
		if r.beyond() == r.binding() && r.Level != "stated" && r.Level != "MAY" {
			t.Errorf("row %s: level %q", r.ID, r.Level)
		}
		seen[r.ID] = true
	}
	for _, id := range strings.Fields(wantRows) {
		if !seen[id] {
			t.Errorf("there is no row %s", id)
		}
	}
}

func TestLargeRequestsAreSoundAndOfTheirSize(t *testing.T) {
	for _, s := range allSignals {
		for _, size := range []int64{4096, 4224, 4225, 16511, 16512, 16513, 100_000, 2_097_300, 2_097_301, 2_097_302, 2_097_303} {
			mark := newMark()
			b, err := io.ReadAll(largeRequest(s, mark, size, 64<<10))
			if err != nil || int64(len(b)) != size {
				t.Errorf("%s: %d bytes, %v, want %d", s.name, len(b), err, size)
			}
			if err := proto.Unmarshal(b, s.newRequest()); err != nil || !bytes.Contains(b, []byte(mark)) {
				t.Errorf("%s of %d: %v", s.name, size, err)
			}
		}
	}
}

func TestEncodings(t *testing.T) {
	want := []byte(strings.Repeat("telemetry ", 1000))
	for _, e := range append(httpEncodings, grpcEncodings...) {
		got, err := unpack(e, packed(e, want), len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", e, len(got), err)
		}
		if got, err := unpack(e, packed(e, want), len(want)-1); err == nil {
			t.Errorf("%s: %d bytes in spite of the limit", e, len(got))
		}
	}
}

func report() *Report {
	r := newReport()
	for _, row := range Rows() {
		v := passed
		switch row.ID {
		case "G1":
			v = failed("a <thing>", "OK", "no|thing")
		case "J4":
			v = failed("a key", "400", "200")
		case "G2":
			v = notApplicable("no reason\n at all")
		case "X1":
			v = noted("says this")
		}
		r.add(row, []Case{{"one", passed}, {"two", v}}[1:])
	}
	return r
}

func TestReports(t *testing.T) {
	r := report()
	if !r.Failed() || r.Count(Fail) != 2 {
		t.Errorf("failed %t, %s", r.Failed(), r.Summary())
	}
	var table, xmlText, markdown, list bytes.Buffer
	for _, err := range []error{r.WriteTable(&table), r.WriteJUnit(&xmlText), WriteList(&list), WriteComparison(&markdown, []string{"a", "b"}, []*Report{r, newReport()})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if s := table.String(); !strings.Contains(s, "expected: OK") || !strings.Contains(s, "no reason  at all") {
		t.Error(s)
	}
	if s := markdown.String(); !strings.Contains(s, `**fail** (1 of 1 cases): two: no\|thing | not run |`) {
		t.Error(s)
	}
	if n := strings.Count(list.String(), "\n"); n != 2*len(Rows()) {
		t.Errorf("%d lines", n)
	}
	var j junitSuite
	if err := xml.Unmarshal(xmlText.Bytes(), &j); err != nil || j.Tests != len(Rows()) || j.Failures != 2 || j.Skipped != 1 {
		t.Errorf("%+v, %v", j, err)
	}
	b, err := json.Marshal(r)
	back := new(Report)
	if err != nil || json.Unmarshal(b, back) != nil || back.Summary() != r.Summary() {
		t.Errorf("%v: %s", err, back.Summary())
	}
	for i := range r.Rows {
		if r.Rows[i].ID == "G1" {
			r.Rows[i].Outcome = Pass
		}
	}
	if r.Failed() {
		t.Error("a row without MUST or SHOULD fails the run")
	}
}
