package otlp

import "testing"

// TestConditionsAllocateNothing: with room for the result, conditions of every form
// cost no allocation, whatever the number of resources and items.
func TestConditionsAllocateNothing(t *testing.T) {
	if raceEnabled { // regexp keeps its machines in a sync.Pool, which forgets some on purpose
		t.Log("the race detector allocates: counted without it")
		return
	}
	for _, texts := range [][]string{{"service.name=cart|checkout"}, {"service.name"}, {"service.name=~c.*"}, {"service.name=~c.*", "no.such=1"}} {
		conditions, err := ParseConditions(texts)
		if err != nil {
			t.Fatal(err)
		}
		f := &Filter{Resource: conditions}
		for _, sig := range Signals {
			req := realistic(t, sig, 1000)
			dst := make([]byte, 0, len(req))
			if n := testing.AllocsPerRun(10, func() {
				if _, _, err := f.Apply(sig, dst, req); err != nil {
					t.Fatal(err)
				}
			}); n > 0 {
				t.Errorf("%q on %s: %g allocations", texts, sig, n)
			}
		}
	}
}

// TestConditionOnNumbers: what is no text is matched by its text.
func TestConditionOnNumbers(t *testing.T) {
	// A resource {1: attributes} with the KeyValue {key "n", value {int 1234}}.
	body := []byte{0x0a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, 'n', 0x12, 0x03, 0x18, 0xd2, 0x09}
	f := func(text string, want bool) {
		t.Helper()
		c, err := ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Match(resourceAttributes(body)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	f("n=1234", true)
	f("n=~12.*", true)
	f("n=~12", false)
	f("n=~[0-9]+", true)
	f("n=~[a-z]+", false)
}
