package config

import (
	"bytes"
	"strings"
	"testing"
)

func TestReferences(t *testing.T) {
	file := write(t, "secret", "from file\r\n")
	environ := map[string]string{"A": "1", "EMPTY": "", "NEST": "${env:A}"}
	env := func(name string) (string, bool) { v, ok := environ[name]; return v, ok }
	f := func(text, want string) {
		t.Helper()
		got, _, err := expand(text, env)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	f("plain $ {x} $5 }", "plain $ {x} $5 }")
	f("${env:A}", "1")
	f("a${env:A}b${env:A}", "a1b1")
	f("${env:NONE:-else}", "else")
	f("${env:EMPTY:-else}", "else")
	f("${env:EMPTY}", "")
	f("${env:NONE:-}", "")
	f("${env:NEST}", "${env:A}") // what a reference brings is not expanded
	f("${file:"+file+"}", "from file")
	f("$${env:A} $$${env:A}", "${env:A} $${env:A}")
	f("${env:A", "error: a reference begins with ${ and has no }; to mean the text itself, write $${")
	f("${env:NONE}", "error: ${env:NONE}: the environment variable NONE is not set; set it, or write ${env:NONE:-default}")
	f("${A}", "error: ${A} is not a reference: want ${env:NAME}, ${env:NAME:-default} or ${file:PATH}; to mean the text itself, write $${")
	f("${file:"+file+".none}", "error: ${file:"+file+".none}: open "+file+".none: no such file or directory")
}

// A mistake in what a reference brought is told by the reference, and nothing
// that was brought, nor any secret, is in the message.
func TestErrorsNeverQuoteWhatAReferenceBrought(t *testing.T) {
	file := write(t, "secret", "s3cret")
	text := "queue:\n  max_bytes: ${file:" + file + "}\n  durability: ${env:TOKEN}\ngateway:\n  items: ${env:TOKEN}\n  share: ${env:MISSING}\n"
	got := complaints(t, "c.yaml", text, Options{Environ: []string{"TOKEN=s3cret"}})
	want := "FILE:2:14: queue.max_bytes: want a size in bytes such as 64MiB; what ${file:" + file + "} holds is not\n" +
		"FILE:3:15: queue.durability: want one of strict, process; what ${env:TOKEN} holds is not\n" +
		"FILE:5:10: gateway.items: want a whole number such as 100; what ${env:TOKEN} holds is not\n" +
		"FILE:6:10: gateway.share: ${env:MISSING}: the environment variable MISSING is not set; set it, or write ${env:MISSING:-default}"
	if got != want {
		t.Errorf("says:\n%s\nwant:\n%s", got, want)
	}
	if got := complaints(t, "c.yaml", "queue: {token: [s3cret]}", Options{}); strings.Contains(got, "s3cret") || got == "" {
		t.Errorf("says %q", got)
	}
	var pin struct {
		PIN int `yaml:"pin" secret:"true"`
	}
	_, err := Load(&pin, Options{Sets: []string{"pin=s3cret"}})
	if err == nil || err.Error() != "flag --set: pin: want a whole number such as 100; got something else" {
		t.Errorf("says %v", err)
	}
}

func TestReferencesArePrintedAsTheyWereWritten(t *testing.T) {
	file := write(t, "url", "nats://token@host\n")
	c := defaults()
	l, err := Load(&c, Options{
		File:    write(t, "c.yaml", "queue:\n  url: ${file:"+file+"}\n  token: ${env:TOKEN}\n  max_bytes: ${env:SIZE}\nname: ${env:NAME}\n"),
		Environ: []string{"TOKEN=s3cret", "SIZE=2MiB", "NAME=n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"yaml", "json"} {
		var out bytes.Buffer
		if err := l.Print(&out, format); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"${file:" + file + "}", "${env:TOKEN}", "${env:SIZE}", "${env:NAME}"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s lacks %s:\n%s", format, want, out.String())
			}
		}
		if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), "token@") {
			t.Errorf("%s shows a secret:\n%s", format, out.String())
		}
	}
	// A value that was changed since is not what the reference brought.
	c.Queue.MaxBytes, c.Queue.Token = 3*MiB, "other"
	var out bytes.Buffer
	if err := l.Print(&out, "yaml"); err != nil || !strings.Contains(out.String(), "max_bytes: 3MiB") || !strings.Contains(out.String(), "token: <redacted>") {
		t.Errorf("%v\n%s", err, out.String())
	}
	before := l.Hash()
	if c.Queue.MaxBytes = 4 * MiB; l.Hash() == before {
		t.Error("the hash does not follow what is printed")
	}
}
