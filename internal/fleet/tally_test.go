package fleet

import (
	"encoding/json"
	"reflect"
	"testing"
)

// TestTallyCountsAll holds Plus and Without over every number of a Tally, so that
// none that is added later is forgotten.
func TestTallyCountsAll(t *testing.T) {
	fill := func(n uint64) (x Tally) {
		v := reflect.ValueOf(&x).Elem()
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Uint64 {
				v.Field(i).SetUint(n + uint64(i))
			}
		}
		return x
	}
	sum, rest := fill(100).Plus(fill(1)), fill(100).Without(fill(1))
	for i := range reflect.TypeFor[Tally]().NumField() {
		f := reflect.TypeFor[Tally]().Field(i)
		if f.Type.Kind() != reflect.Uint64 {
			continue
		}
		if got, want := reflect.ValueOf(sum).Field(i).Uint(), uint64(101+2*i); got != want {
			t.Errorf("Plus leaves %s at %d, want %d", f.Name, got, want)
		}
		if got := reflect.ValueOf(rest).Field(i).Uint(); got != 99 {
			t.Errorf("Without leaves %s at %d, want 99", f.Name, got)
		}
	}
}

// TestTallyOfAnOlderVersion: what was told before there were routes is read, and
// what has no routes is told as before.
func TestTallyOfAnOlderVersion(t *testing.T) {
	const old = `{"destination":"a","signal":"logs","exported_items":3,"rejected_items":1,"dead_lettered_items":2,"possible_duplicate_items":0,"settled_messages":4}`
	var got Tally
	if err := json.Unmarshal([]byte(old), &got); err != nil || got != (Tally{Destination: "a", Signal: "logs", Exported: 3, Rejected: 1, Dead: 2, Messages: 4}) {
		t.Fatalf("an older tally is read as %+v, %v", got, err)
	}
	if again, err := json.Marshal(got); err != nil || string(again) != old {
		t.Errorf("a tally without routes is %s, %v, want %s", again, err, old)
	}
}
