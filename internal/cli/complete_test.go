package cli

import (
	"bytes"
	"strings"
	"testing"
)

// Shells offer what a command takes, and files only where it takes one.
func TestShellsAreToldWhatMayStandWhere(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		root := Root()
		root.SetOut(&out)
		root.SetErr(&bytes.Buffer{})
		root.SetArgs(append([]string{"__complete"}, args...))
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(strings.TrimSpace(out.String()), "\n", " "); got != want {
			t.Errorf("%v completes to %q, want %q", args, got, want)
		}
	}
	f("table json yaml :4", "status", "-o", "")
	f("line json :4", "tap", "-o", "")
	f("traces metrics logs :4", "tap", "")
	f("grpc http :4", "send", "--protocol", "")
	f("damaged rejected too_large expired :4", "dlq", "redrive", "--reason", "")
	f(":4", "replay", "status", "")
	f(":0", "status", "--config", "")
	f(":0", "config", "validate", "")
}
