package otlp

import (
	"encoding/json"
	"testing"
)

func TestSignalsInJSON(t *testing.T) {
	b, err := json.Marshal(Signals)
	var back [NumSignals]Signal
	if err != nil || string(b) != `["traces","metrics","logs"]` || json.Unmarshal(b, &back) != nil || back != Signals {
		t.Errorf("%s, %v, %v", b, err, back)
	}
	if _, err := json.Marshal(Signal(NumSignals)); err == nil {
		t.Error("there is no such signal")
	}
	if err := json.Unmarshal([]byte(`["profiles"]`), &back); err == nil {
		t.Error("there is no such signal")
	}
}
