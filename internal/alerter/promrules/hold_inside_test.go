package promrules

import (
	"os"
	"path/filepath"
	"testing"
)

// Every expression of the real rule files can be asked for what is known, or says
// why not.
func TestRealRulesCanHold(t *testing.T) {
	files, err := filepath.Glob("testdata/parity/*[a-z].yaml")
	if err != nil {
		t.Fatal(err)
	}
	can, cannot := 0, 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(name, text)
		if err != nil { // a file of tests
			continue
		}
		for _, r := range f.rules {
			known, err := knownOf(r.expr.String())
			if err != nil {
				cannot++
				continue
			}
			can++
			if _, err := exprs.ParseExpr(known); err != nil {
				t.Errorf("%s: %s became %s: %v", r.name, r.expr, known, err)
			}
		}
	}
	if can < 35 || cannot < 8 { // those that record, and what is absent
		t.Errorf("%d can, %d cannot", can, cannot)
	}
}

func FuzzKnownOf(f *testing.F) {
	f.Add("a > 1 unless on (x) b or count(c < 2) != 3")
	f.Fuzz(func(t *testing.T, query string) {
		known, err := knownOf(query)
		if err != nil {
			return
		}
		if _, err := exprs.ParseExpr(known); err != nil {
			t.Errorf("%q became %q: %v", query, known, err)
		}
	})
}
