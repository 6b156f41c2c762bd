package config

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

const beforeMerge = `
name: one
queue: {token: "${env:OLD}", max_bytes: 1MiB}
gateway: {cors: [a, b], strict: true}
destinations:
  - {name: a, endpoints: ["h:1"], timeout: 1s, headers: [{name: x, value: "${env:OLD}"}]}
  - {name: b, endpoints: ["h:2"], timeout: 2s}
`

const afterMerge = `
name: ${env:NEW}
queue: {token: "${env:NEW}", max_bytes: 2MiB}
gateway: {cors: [c], strict: false}
destinations:
  - {name: c, endpoints: ["h:3"], timeout: 30s}
  - {name: b, endpoints: ["h:22"], timeout: 20s}
  - {name: a, endpoints: ["h:11"], timeout: 10s, headers: [{name: x, value: "${env:NEW}"}, {name: y, value: z}]}
`

func loaded(t *testing.T, text string) *Loaded {
	t.Helper()
	c := defaults()
	l, err := Load(&c, Options{File: write(t, "c.yaml", text), Environ: []string{"OLD=old", "NEW=new"}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMergeTakesOverWhatIsLive(t *testing.T) {
	old, next := loaded(t, beforeMerge), loaded(t, afterMerge)
	live := []string{"name", "gateway.cors", "destinations[].timeout", "destinations[].headers"}
	got, err := old.Merge(next, func(path string) bool { return slices.Contains(live, path) })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"queue.max_bytes", "queue.token", "gateway.strict", "destinations[b].endpoints destinations[].endpoints",
		"destinations[a].endpoints destinations[].endpoints", "destinations[c] destinations[]", "destinations"}
	pending := keys(Changed(got.Value(), next.Value()))
	slices.Sort(want)
	slices.Sort(pending)
	if !slices.Equal(pending, want) {
		t.Errorf("waits for a restart: %q\nwant %q", pending, want)
	}
	took := keys(Changed(old.Value(), got.Value()))
	if want := []string{"name", "gateway.cors", "destinations[a].headers[x].value destinations[].headers[].value", "destinations[a].headers[y] destinations[].headers[]",
		"destinations[a].timeout destinations[].timeout", "destinations[b].timeout destinations[].timeout"}; !slices.Equal(took, want) {
		t.Errorf("took over %q\nwant %q", took, want)
	}
	// Nothing is shared: what is written to the result stays there.
	s := got.Value().(*sample)
	s.Gateway.CORS[0], s.Destinations[0].Headers[0].Value, s.Destinations[0].Name, *s.Gateway.Strict = "!", "!", "!", false
	a, b := old.Value().(*sample), next.Value().(*sample)
	if b.Gateway.CORS[0] != "c" || b.Destinations[2].Headers[0].Value != "new" || a.Destinations[0].Name != "a" || !*a.Gateway.Strict {
		t.Error("the result shares memory with what it was made of")
	}
}

// What runs is printed with the references by which it came, wherever they stand
// now, and never with what they brought.
func TestMergedPrintsReferences(t *testing.T) {
	old, next := loaded(t, beforeMerge), loaded(t, afterMerge)
	show := func(live ...string) string {
		t.Helper()
		got, err := old.Merge(next, func(path string) bool { return slices.Contains(live, path) })
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := got.Print(&out, "yaml"); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := show(); !strings.Contains(got, "token: ${env:OLD}") || !strings.Contains(got, "value: ${env:OLD}") || strings.Contains(got, "NEW") {
		t.Errorf("with nothing live:\n%s", got)
	}
	if got := show("name", "queue.token"); !strings.Contains(got, "name: ${env:NEW}") || !strings.Contains(got, "token: ${env:NEW}") || !strings.Contains(got, "value: ${env:OLD}") {
		t.Errorf("with the token live:\n%s", got)
	}
	if got := show("destinations"); !strings.Contains(got, "value: ${env:NEW}") || strings.Index(got, "- name: c") > strings.Index(got, "- name: a") {
		t.Errorf("with the list live:\n%s", got)
	}
}

// Two valid files can make an invalid mixture, which is told with the line of the
// key that is to blame.
func TestMergeValidates(t *testing.T) {
	old, next := loaded(t, beforeMerge), loaded(t, afterMerge)
	next.Value().(*sample).Queue.MaxBytes = 1
	_, err := old.Merge(next, func(path string) bool { return path == "queue.max_bytes" })
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Key != "queue.max_bytes" || problems[0].Line != 3 {
		t.Errorf("says %v", err)
	}
	if _, err := old.Merge(next, func(string) bool { return false }); err != nil {
		t.Error(err)
	}
}

// A secret that was written out is not printed because a reference stands beside it.
func TestASecretBesideAReferenceIsNotPrinted(t *testing.T) {
	f := func(key, text string, shows bool) {
		t.Helper()
		c := defaults()
		l, err := Load(&c, Options{Sets: []string{key + "=" + text}, Environ: []string{"A=planted1", "B="}})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := l.Print(&out, "yaml"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), text); got != shows || strings.Contains(out.String(), "planted") {
			t.Errorf("%s=%s is printed as it is written: %t, want %t\n%s", key, text, got, shows, out.String())
		}
	}
	f("queue.token", "${env:A}", true)
	f("queue.token", "Bearer ${env:A}", true)
	f("queue.token", "planted${env:A}", false)
	f("queue.token", "${env:A}planted", false)
	f("queue.token", "${env:B:-planted}", false)
	f("queue.token", "Bearer ${env:B:-planted}", false)
	f("queue.url", "nats://${env:A}:4222", true)
	f("queue.url", "nats://u:planted@${env:A}", false)
	f("queue.url", "nats://${env:B:-planted}", false)
	f("name", "${env:B:-shown}", true)
}

func TestErrorsDoNotQuoteWhatMayBeASecret(t *testing.T) {
	f := func(ext, text string) {
		t.Helper()
		c := defaults()
		_, err := Load(&c, Options{File: write(t, "c."+ext, text), Environ: []string{}})
		if err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s\nsays %v", text, err)
		}
	}
	f("yaml", "queue:\n  token: *planted\n")
	f("yaml", "queue:\n  token: &planted\n  token: \"a\n")
	f("yaml", "queue:\n  token: \"planted\\q\"\n")
	f("yaml", "queue:\n  token: 'planted\n")
	f("yaml", "queue:\n  token: @planted\n")
	f("yaml", "queue:\n  token: %planted\n")
	f("yaml", "queue:\n  token: a${planted}b\n")
	f("yaml", "queue:\n  token: ${planted\n")
	f("yaml", "queue:\n  token: [planted]\n")
	f("yaml", "queue:\n  token: {planted: planted}\n")
	f("yaml", "queue:\n  token: !!binary planted%\n  x: 1\n")
	f("yaml", "queue:\n  token: |planted\n")
	f("toml", "[queue]\ntoken = planted\n")
	f("toml", "[queue]\ntoken = \"planted\n")
	f("toml", "[queue]\ntoken = \"\\qplanted\"\n")
	f("toml", "[queue]\ntoken = [\"planted\"]\n")
	f("json", `{"queue": {"token": "planted", "token": "planted"}}`)
	f("json", `{"queue": {"token": planted"}`)
}

func TestTheFileIsNotNeededAfterTheLoad(t *testing.T) {
	c := defaults()
	name := write(t, "c.yaml", "name: one\n")
	l, err := Load(&c, Options{File: name, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Merge(l, func(string) bool { return true }); err != nil || len(Changed(got.Value(), &c)) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}
