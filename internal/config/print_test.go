package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (%v); after a look, run go test -rewrite:\n%s", path, err, got)
	}
}

func TestPrintReferenceAndSchemaAreAsRecorded(t *testing.T) {
	c := whole()
	c.Queue.Password, c.Name = "pw", "a ${b} c"
	var y, j, r bytes.Buffer
	if err := Print(&y, c, "yaml"); err != nil {
		t.Fatal(err)
	}
	golden(t, "print.yaml", y.Bytes())
	if err := Print(&j, &c, "json"); err != nil {
		t.Fatal(err)
	}
	golden(t, "print.json", j.Bytes())
	if err := Reference(&r, defaults(), "Sample settings"); err != nil {
		t.Fatal(err)
	}
	golden(t, "reference.md", r.Bytes())
	s, err := Schema(defaults())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", s)
	for _, out := range []string{y.String(), j.String()} {
		if strings.Contains(out, "s3cret") || strings.Contains(out, "pw") {
			t.Errorf("shows a secret:\n%s", out)
		}
	}
	if !json.Valid(s) || !json.Valid(j.Bytes()) {
		t.Error("not valid JSON")
	}
	if err := Print(&y, c, "xml"); err == nil {
		t.Error("xml is printed")
	}
}

// Without secrets, what is printed loads to the same values, in both forms.
func TestWhatIsPrintedLoadsBack(t *testing.T) {
	c := whole()
	c.Queue.URL, c.Queue.Token = "nats://host:4222", ""
	c.Name = "1: ${env:X} $${ \"' # \n é"
	c.Gateway.CORS = []string{"true", "1", "~", "a, b", "", "${"}
	for i := range c.Destinations {
		c.Destinations[i].Headers = nil
	}
	for _, format := range []string{"yaml", "json"} {
		var out bytes.Buffer
		if err := Print(&out, c, format); err != nil {
			t.Fatal(err)
		}
		var back sample
		if _, err := Load(&back, Options{File: write(t, "c."+format, out.String()), Environ: []string{}}); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		for i := range back.Destinations {
			back.Destinations[i].Headers = nil
		}
		if !reflect.DeepEqual(back, c) {
			t.Errorf("%s reads back as\n%+v, want\n%+v", format, back, c)
		}
	}
}

func TestHashFollowsTheValues(t *testing.T) {
	a, b := whole(), whole()
	if Hash(a) != Hash(&b) || len(Hash(a)) != 16 {
		t.Errorf("equal values give %s and %s", Hash(a), Hash(b))
	}
	b.Queue.Token = "other"
	if Hash(a) != Hash(b) {
		t.Error("a secret has a part in the hash, by which it can be guessed")
	}
	b.Queue.Token = ""
	if Hash(a) == Hash(b) {
		t.Error("that there is no secret has no part in the hash")
	}
	b = whole()
	b.Queue.URL = "nats://u:other@h"
	a.Queue.URL = "nats://u:one@h"
	if Hash(a) != Hash(b) {
		t.Error("the password of an address has a part in the hash")
	}
	b.Name = "other"
	if Hash(a) == Hash(b) {
		t.Error("a value has no part in the hash")
	}
}

func TestRedactedAddresses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := redactURL(text); got != want {
			t.Errorf("%q prints %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("nats://host:4222", "nats://host:4222")
	f("nats://u:pw@a:1,nats://token@b:2,nats://c:3", "nats://u:xxxxx@a:1,nats://xxxxx@b:2,nats://c:3")
	f("nats://u:p%zz@h", Redacted)
}

// A key without a help text would be a hole in the page.
func TestReferenceWantsHelpForEveryKey(t *testing.T) {
	var c struct {
		A string `yaml:"a"`
		B []struct {
			C int `yaml:"c"`
		} `yaml:"b" help:"B."`
	}
	var out bytes.Buffer
	err := Reference(&out, c, "x")
	if err == nil || !strings.Contains(err.Error(), "a has no help text") || !strings.Contains(err.Error(), "b[].c has no help text") || out.Len() > 0 {
		t.Errorf("%v, wrote %q", err, out.String())
	}
}
