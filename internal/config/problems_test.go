package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// complaints loads a text and returns what Load says, the file's name as FILE.
func complaints(t *testing.T, name, text string, o Options) string {
	t.Helper()
	if text != "" {
		o.File = write(t, name, text)
	}
	if o.Environ == nil {
		o.Environ = []string{}
	}
	c := defaults()
	_, err := Load(&c, o)
	if err == nil {
		return ""
	}
	if o.File == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), o.File, "FILE")
}

// The whole message, since it is what a user has to go by.
func TestMistakesInYAML(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := complaints(t, "c.yaml", text, Options{}); got != strings.TrimSpace(want) {
			t.Errorf("%s\nsays:\n%s\nwant:\n%s", text, got, want)
		}
	}
	f("gateway:\n  http:\n    lisen: x", `FILE:3:5: gateway.http.lisen: unknown key; did you mean "listen"?`)
	f("Name: x", `FILE:1:1: Name: unknown key; did you mean "name"?`)
	f("gateway: {max_bytes: 1}", `FILE:1:11: gateway.max_bytes: unknown key; there is queue.max_bytes`)
	f("gateway: {http: {zzzzzz: 1}}", `FILE:1:18: gateway.http.zzzzzz: unknown key; known here: listen`)
	f("name: a\nname: b", `FILE:2:1: name: written twice, first on line 1`)
	f("queue: {max_bytes: lots}", `FILE:1:20: queue.max_bytes: want a size in bytes such as 64MiB; got "lots": "lots" is not a size: it has no number`)
	f("queue: {max_bytes: [1]}", `FILE:1:20: queue.max_bytes: want a size in bytes such as 64MiB; got a list`)
	f("queue: {max_bytes: 5}", `FILE:1:20: queue.max_bytes: must be at least 1KiB, not 5B`)
	f("queue: [a]", `FILE:1:8: queue: want a section with the keys url, max_bytes, durability, token, password; got a list`)
	f("queue: 5", `FILE:1:8: queue: want a section with the keys url, max_bytes, durability, token, password; got a single value`)
	f("queue: {token: <redacted>}", `FILE:1:16: queue.token: holds "<redacted>", which is how a secret prints; write the secret, or better a reference to it: ${env:NAME} or ${file:PATH}`)
	f("- a", `FILE:1:1: want a section with the keys name, queue, gateway, destinations, extra, level; got a list`)
	f("queue: {durability: strickt}", `FILE:1:21: queue.durability: want one of strict, process; got "strickt"; did you mean "strict"?`)
	f("gateway: {max_delay: 5}", `FILE:1:22: gateway.max_delay: want a duration such as 45s; got "5": "5" is not a duration such as 45s, 5m, 1h30m or 7d`)
	f("gateway: {patience: x}", `FILE:1:21: gateway.patience: want a duration such as 45s; got "x": "x" is not a duration such as 45s, 5m, 1h30m or 7d`)
	f("gateway: {items: 1.5}", `FILE:1:18: gateway.items: want a whole number such as 100; got "1.5"`)
	f("gateway: {streams: 4294967296}", `FILE:1:20: gateway.streams: want a whole number such as 100; got "4294967296": value out of range`)
	f("gateway: {share: much}", `FILE:1:18: gateway.share: want a number such as 0.5; got "much"`)
	f("gateway: {share: .inf}", `FILE:1:18: gateway.share: want a number such as 0.5; got ".inf"`)
	f("gateway: {share: inf}", `FILE:1:18: gateway.share: want a number such as 0.5; got "inf"`)
	f("gateway: {enabled: yes}", `FILE:1:20: gateway.enabled: want true or false; got "yes"`)
	f("gateway: {cors: a}", `FILE:1:17: gateway.cors: want a list such as [name]; got a single value`)
	f("gateway: {cors: [a, ~]}", `FILE:1:21: gateway.cors[1]: is empty; want a text such as name`)
	f("name: {a: b}", `FILE:1:7: name: want a text such as edge-1; got a section`)
	f("level: loud", `FILE:1:8: level: want a text; got "loud": slog: level string "loud": unknown name`)
	f("destinations: {name: a}", `FILE:1:15: destinations: want a list of entries with the keys name, protocol, endpoints, headers, tls, timeout; got a section`)
	f("destinations: [a]", `FILE:1:16: destinations[0]: want a section with the keys name, protocol, endpoints, headers, tls, timeout; got a single value`)
	f("destinations:\n- endpoints: [a, 'b:1', c]\n  tls: {key_file: k, insecure: true}", `
FILE:2:3: destinations[0].name: is missing
FILE:2:15: destinations[0].endpoints[0]: want host:port, not "a"
FILE:2:25: destinations[0].endpoints[2]: want host:port, not "c"
FILE:3:8: destinations[0].tls.cert_file: needs key_file, and the reverse; one of them is empty`)
	f("destinations: [{name: a}]", `FILE:1:16: destinations[0]: has no endpoints`)
	f("name: [", `FILE:1: not valid YAML: did not find expected node content`)
	f("a: b: c", `FILE: not valid YAML: mapping values are not allowed in this context`)
	f("name: a\n---\nname: b", `FILE:2: a second YAML document begins here; one file is one document`)
	f("name: a\n---\n[", `FILE:3: not valid YAML: did not find expected node content`)
	f("x: &a {listen: y, bad: 1}\ngateway: {http: *a}", `
FILE:1:1: x: unknown key; known here: name, queue, gateway, destinations, extra, level
FILE:1:19: gateway.http.bad: unknown key; known here: listen`)
	f("gateway: &g {<<: *g}", `FILE:1:14: gateway: more than 1000 merge keys (<<) are followed; does a section merge itself?`)
	f("? [a]\n: b", `FILE:1:3: unknown key; known here: name, queue, gateway, destinations, extra, level`)
	f("gateway: {http: {<<: [{listen: a}, {lisen: b}]}}", `FILE:1:37: gateway.http.lisen: unknown key; did you mean "listen"?`)
}

func TestMistakesInTOML(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := complaints(t, "c.toml", text, Options{}); got != strings.TrimSpace(want) {
			t.Errorf("%s\nsays:\n%s\nwant:\n%s", text, got, want)
		}
	}
	f("name = \"a\"\n[gateway.http]\nlisen = 1", `FILE:3:1: gateway.http.lisen: unknown key; did you mean "listen"?`)
	f("[queue]\nmax_bytes = \"lots\"", `FILE:2:1: queue.max_bytes: want a size in bytes such as 64MiB; got "lots": "lots" is not a size: it has no number`)
	f("name = 1979-05-27\nqueue.max_bytes = 1979-05-27T07:32:00Z", `FILE:2:7: queue.max_bytes: want a size in bytes such as 64MiB; got "1979-05-27T07:32:00Z": "1979-05-27T07:32:00Z" is not a size: unknown unit "-05-27T07:32:00Z", use B, KiB, MiB, GiB, TiB, PiB or kB, MB, GB, TB, PB`)
	f("[[destinations]]\nname = \"a\"\nendpoints = [\"a:1\"]\n[[destinations]]\nnam = \"b\"\n[destinations.tls]\nkey_file = \"k\"", `
FILE:5:1: destinations[1].nam: unknown key; did you mean "name"?
FILE:6:15: destinations[1].tls.cert_file: needs key_file, and the reverse; one of them is empty`)
	f("destinations = [{name = \"a\", endpoints = [\"a\"]}]", `FILE:1:30: destinations[0].endpoints[0]: want host:port, not "a"`)
	f("name = \"a\"\nname = \"b\"", `FILE:2:1: name: written twice, first on line 1`)
	f("a.b = 1\na.c = 2\n[a]\nd = 1", `FILE: not valid TOML: toml: table a already exists`)
	f("name = ", `FILE:1:8: not valid TOML: toml: expected value, not eof`)
}

func TestMistakesInVariablesAndFlags(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		o.EnvPrefix = "PENSTOCK"
		if got := complaints(t, "", "", o); got != strings.TrimSpace(want) {
			t.Errorf("%+v\nsays:\n%s\nwant:\n%s", o, got, want)
		}
	}
	env := func(e ...string) Options { return Options{Environ: e} }
	set := func(s ...string) Options { return Options{Sets: s} }
	f(env("PENSTOCK_GATEWAY_HTTP_LISEN=x"), `environment variable PENSTOCK_GATEWAY_HTTP_LISEN: sets no known key; did you mean PENSTOCK_GATEWAY_HTTP_LISTEN?`)
	f(env("PENSTOCK_FOO_BAR_BAZ_AND_MORE=x"), `environment variable PENSTOCK_FOO_BAR_BAZ_AND_MORE: sets no known key; unset it, or see the reference for the names`)
	f(env("PENSTOCK_QUEUE_MAX_BYTES=x"), `environment variable PENSTOCK_QUEUE_MAX_BYTES: queue.max_bytes: want a size in bytes such as 64MiB; got "x": "x" is not a size: it has no number`)
	f(env("PENSTOCK_DESTINATIONS=a,b"), `environment variable PENSTOCK_DESTINATIONS: destinations: want a list of entries with the keys name, protocol, endpoints, headers, tls, timeout, as YAML or JSON in brackets: [{...}]`)
	f(env("PENSTOCK_DESTINATIONS=[{s3cret]"), `environment variable PENSTOCK_DESTINATIONS: destinations: the text is not valid YAML or JSON; want a list of entries with the keys name, protocol, endpoints, headers, tls, timeout`)
	f(env("PENSTOCK_DESTINATIONS=[{nam: a, endpoints: ['a:1']}]"), `environment variable PENSTOCK_DESTINATIONS: destinations[0].nam: unknown key; did you mean "name"?`)
	f(env("PENSTOCK_GATEWAY_CORS=a: b\nc: d"), `environment variable PENSTOCK_GATEWAY_CORS: gateway.cors: want a list such as [name]; got a section`)
	f(set("queue.max_byte=1"), `flag --set: queue.max_byte: unknown key; did you mean "queue.max_bytes"?`)
	f(set("nothing.like.it=1"), `flag --set: nothing.like.it: unknown key`)
	f(set("queue=1"), `flag --set: queue: is a section; set one of its keys: url, max_bytes, durability, token, password`)
	f(set("queue.url"), `flag --set: want key=value, such as gateway.grpc.listen=0.0.0.0:4317`)
	f(Options{Flags: map[string]string{"queue.max_bytes": "1", "gateway.items": "x"}}, `
flag: gateway.items: want a whole number such as 100; got "x"
flag: queue.max_bytes: must be at least 1KiB, not 1B`)
}

// FuzzLoad looks for a text that a Load does not survive, and for an accepted
// one whose print is not accepted.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{wholeYAML, "a: &a {<<: *a}", "- *x", "? {a: b}\n: c", "queue: &q\n  <<: [*q, {url: x}]", "destinations: [~, {}]", "\xff", "gateway: !!binary aGk="} {
		f.Add(seed, false)
	}
	f.Add(wholeTOML, true)
	f.Add("[[destinations]]\n[destinations.tls]\n[[destinations.tls]]", true)
	f.Fuzz(func(t *testing.T, text string, isTOML bool) {
		if strings.Contains(text, "${file:") {
			return // a device can be read for ever
		}
		name := "c.yaml"
		if isTOML {
			name = "c.toml"
		}
		c := defaults()
		if _, err := Load(&c, Options{File: write(t, name, text), EnvPrefix: "PENSTOCK", Environ: []string{"TOKEN=t"}}); err != nil {
			if err.Error() == "" || strings.HasPrefix(err.Error(), "BUG") {
				t.Fatalf("%q says %v", text, err)
			}
			return
		}
		c.Queue.Token, c.Queue.Password, c.Queue.URL = "", "", ""
		for i := range c.Destinations {
			c.Destinations[i].Headers = nil
		}
		var out strings.Builder
		if err := Print(&out, c, "yaml"); err != nil {
			t.Fatal(err)
		}
		back := defaults()
		if _, err := Load(&back, Options{File: write(t, "back.yaml", out.String()), Environ: []string{}}); err != nil || Hash(back) != Hash(c) {
			t.Fatalf("%q is printed as\n%s\nwhich says %v", text, out.String(), err)
		}
	})
}

// All layers' mistakes come at once, each source in the order of its lines, and
// a struct with a broken value is not asked to judge the default in its place.
func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	got := complaints(t, "c.yaml", "gateway: {items: x, enabled: maybe}\nqueue: {max_bytes: tiny}\nnam: y\n", Options{
		EnvPrefix: "PENSTOCK", Environ: []string{"PENSTOCK_GATEWAY_ITEMS=5"}, Sets: []string{"gateway.share=z"},
	})
	want := `FILE:1:18: gateway.items: want a whole number such as 100; got "x"
FILE:1:30: gateway.enabled: want true or false; got "maybe"
FILE:2:20: queue.max_bytes: want a size in bytes such as 64MiB; got "tiny": "tiny" is not a size: it has no number
FILE:3:1: nam: unknown key; did you mean "name"?
flag --set: gateway.share: want a number such as 0.5; got "z"`
	if got != want {
		t.Errorf("says:\n%s\nwant:\n%s", got, want)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	big := write(t, "big.yaml", strings.Repeat("#", maxFile+1))
	for file, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file",
		write(t, "c.ini", "x"):          "must end in .yaml, .yml, .json or .toml",
		big:                             "larger than 4MiB",
	} {
		c := defaults()
		if _, err := Load(&c, Options{File: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
	yamlDir := filepath.Join(dir, "d.yaml")
	if err := os.Mkdir(yamlDir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := defaults()
	if _, err := Load(&c, Options{File: yamlDir}); err == nil || !strings.Contains(err.Error(), yamlDir) {
		t.Errorf("a directory: %v", err)
	}
}

var errSample = errors.New("sample")

type failing struct {
	A string `yaml:"a" help:"A."`
}

func (failing) Validate() error { return KeyError("a", "is wrong: %w", errSample) }

func TestProblemsCanBeFoundInTheError(t *testing.T) {
	var c struct {
		Part failing    `yaml:"part"`
		List []*failing `yaml:"-"`
	}
	_, err := Load(&c, Options{Sets: []string{"part.a=x"}})
	var all Problems
	var one Problem
	if !errors.Is(err, errSample) || !errors.As(err, &all) || !errors.As(err, &one) {
		t.Fatalf("%v is not found in", err)
	}
	if len(all) != 1 || one.Key != "part.a" || one.Source != "flag --set" || one.Msg != "is wrong: sample" {
		t.Errorf("the problem is %+v", one)
	}
	if err := Validate(&c); !errors.Is(err, errSample) || err.Error() != "part.a: is wrong: sample" {
		t.Errorf("Validate says %v", err)
	}
	if got := KeyError("k", "v").Error(); got != "k: v" {
		t.Errorf("a key error alone says %q", got)
	}
	ok := defaults()
	if err := Validate(ok); err != nil {
		t.Error(err)
	}
}

// A struct that cannot be a configuration is a mistake of the program.
func TestStructsThatCannotBeAConfiguration(t *testing.T) {
	f := func(v any, want string) {
		t.Helper()
		_, err := Load(v, Options{EnvPrefix: "P", Environ: []string{}})
		if err == nil || !strings.HasPrefix(err.Error(), "BUG: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%T: %v, want BUG with %q", v, err, want)
		}
	}
	type loop struct {
		Again []struct {
			X int `yaml:"x"`
		} `yaml:"again"`
	}
	f(struct{}{}, "pointer to a struct")
	f((*loop)(nil), "pointer to a struct")
	f(new(int), "pointer to a struct")
	f(&struct {
		A map[string]string `yaml:"a"`
	}{}, "NameValue")
	f(&struct{ A string }{}, "needs a yaml tag")
	f(&struct {
		A string `yaml:"Big"`
	}{}, "lower case")
	f(&struct {
		A string `yaml:"a"`
		B string `yaml:"a"`
	}{}, "exists twice")
	f(&struct {
		A chan int `yaml:"a"`
	}{}, "not supported")
	f(&struct {
		A [][]string `yaml:"a"`
	}{}, "list of lists")
	f(&struct {
		A []*loop `yaml:"a"`
	}{}, "pointers")
	f(&struct {
		A []chan int `yaml:"a"`
	}{}, "not supported")
	f(&struct {
		A int `yaml:",inline"`
	}{}, "not a struct")
	f(&struct {
		A recursive `yaml:"a"`
	}{}, "contains itself")
	f(&struct {
		A recursive `yaml:",inline"`
	}{}, "contains itself")
	f(&struct {
		A struct {
			B int `yaml:"b_c"`
		} `yaml:"a"`
		AB struct {
			C int `yaml:"c"`
		} `yaml:"a_b"`
	}{}, "share the environment variable P_A_B_C")
	var bad struct{ A string }
	if err := Validate(&bad); err == nil {
		t.Error("Validate takes it")
	}
	if err := Print(os.Stderr, &bad, "yaml"); err == nil {
		t.Error("Print takes it")
	}
	if err := Reference(os.Stderr, &bad, "x"); err == nil {
		t.Error("Reference takes it")
	}
	if _, err := Schema(&bad); err == nil {
		t.Error("Schema takes it")
	}
}

type recursive struct {
	Children []recursive `yaml:"children"`
}
