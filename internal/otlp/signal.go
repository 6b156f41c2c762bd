// Package otlp holds what Penstock knows of OTLP on the wire: the walk that
// checks and counts a request, split, JSON, partial success, and the one table
// that turns errors into answers. It has no goroutines and no queue.
//
// Specification: OpenTelemetry protocol 1.11, opentelemetry-proto v1.11.
package otlp

import "fmt"

// Signal is a kind of telemetry. It is a field, never a copy of the code.
type Signal uint8

// The signals that Penstock takes.
const (
	Traces Signal = iota
	Metrics
	Logs
)

// NumSignals is the number of signals; Signal values are below it.
const NumSignals = 3

// Signals lists them in the order of their values.
var Signals = [NumSignals]Signal{Traces, Metrics, Logs}

var signalNames = [NumSignals]string{"traces", "metrics", "logs"}
var itemNames = [NumSignals]string{"spans", "metric_points", "log_records"}

// String is "traces", "metrics" or "logs": the word in paths, streams, labels.
func (s Signal) String() string { return signalNames[s] }

// Items names what is counted: "spans", "metric_points", "log_records", as in
// the metrics of the OpenTelemetry Collector.
func (s Signal) Items() string { return itemNames[s] }

// ParseSignal is the reverse of String.
func ParseSignal(name string) (Signal, error) {
	for i, n := range signalNames {
		if n == name {
			return Signal(i), nil
		}
	}
	return 0, fmt.Errorf("unknown signal %q: want traces, metrics or logs", name)
}

// MarshalText is String, so that a signal is its name in JSON.
func (s Signal) MarshalText() ([]byte, error) {
	if s >= NumSignals {
		return nil, fmt.Errorf("there is no signal %d", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText is ParseSignal.
func (s *Signal) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSignal(string(text))
	return err
}
