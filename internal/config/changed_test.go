package config

import (
	"slices"
	"strings"
	"testing"
)

// keys is "key path" of each change.
func keys(changes []Change) []string {
	var out []string
	for _, c := range changes {
		text := c.Key
		if c.Path != c.Key {
			text += " " + c.Path
		}
		out = append(out, text)
	}
	return out
}

func TestChanged(t *testing.T) {
	f := func(change func(*sample), want ...string) {
		t.Helper()
		a, b := whole(), whole()
		a.Destinations = append(a.Destinations, destination{Name: "second", Endpoints: []string{"h:1"}})
		b.Destinations = append(b.Destinations, destination{Name: "second", Endpoints: []string{"h:1"}})
		for i := range b.Destinations { // whole gives them one slice
			b.Destinations[i].Headers = slices.Clone(b.Destinations[i].Headers)
		}
		change(&b)
		if got := keys(Changed(a, &b)); !slices.Equal(got, want) {
			t.Errorf("changed %q, want %q", got, want)
		}
		if got := Changed(&b, b); got != nil {
			t.Errorf("differs from itself: %v", got)
		}
	}
	first := whole().Destinations[0].Name
	header := whole().Destinations[0].Headers[0].Name
	at := "destinations[" + first + "]"
	f(func(*sample) {})
	f(func(s *sample) { s.Name, s.Level = "x", 3 }, "name", "level")
	f(func(s *sample) { s.Queue.Token = "other" }, "queue.token")
	f(func(s *sample) { s.Queue.Password = "other" }, "queue.password")
	f(func(s *sample) { s.Gateway.HTTP.Listen = "x" }, "gateway.http.listen")
	f(func(s *sample) { s.Gateway.CORS = append(s.Gateway.CORS, "x") }, "gateway.cors")
	f(func(s *sample) { s.Gateway.CORS[0] = "x" }, "gateway.cors")
	f(func(s *sample) { s.Gateway.Strict = nil }, "gateway.strict")
	f(func(s *sample) { v := !*s.Gateway.Strict; s.Gateway.Strict = &v }, "gateway.strict")
	f(func(s *sample) { s.Destinations[0].Timeout++ }, at+".timeout destinations[].timeout")
	f(func(s *sample) { s.Destinations[0].TLS.CAFile = "x" }, at+".tls.ca_file destinations[].tls.ca_file")
	f(func(s *sample) { s.Destinations[0].Headers[0].Value = "other" },
		at+".headers["+header+"].value destinations[].headers[].value")
	f(func(s *sample) { s.Destinations[0].Headers = nil }, at+".headers["+header+"] destinations[].headers[]")
	f(func(s *sample) { s.Destinations[0].Name = "renamed" }, at+" destinations[]", "destinations[renamed] destinations[]")
	f(func(s *sample) { s.Destinations = s.Destinations[1:] }, at+" destinations[]")
	f(func(s *sample) { slices.Reverse(s.Destinations) }, "destinations")
	f(func(s *sample) { slices.Reverse(s.Destinations); s.Destinations[2].Timeout++ },
		at+".timeout destinations[].timeout", "destinations")
	// Without names of their own elements are told by their places.
	f(func(s *sample) { s.Destinations[1].Name = first }, "destinations[1].name destinations[].name")
}

// Nothing of a value is in what Changed says, whatever the type.
func TestChangesHoldNoValue(t *testing.T) {
	a, b := whole(), whole()
	b.Queue.Token, b.Queue.Password, b.Queue.URL = "planted1", "planted2", "nats://u:planted3@h"
	b.Destinations[0].Headers[0].Value = "planted4"
	if got := strings.Join(keys(Changed(a, b)), " "); strings.Contains(got, "planted") || strings.Count(got, " ") < 3 {
		t.Errorf("says %q", got)
	}
}

func TestChangedWantsOneType(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two types are compared")
		}
	}()
	Changed(whole(), whole().Queue)
}
