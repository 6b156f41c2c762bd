package exportertest

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// JSONLines reads requests from lines of OTLP JSON, leaving out those that
// begin with except.
func JSONLines(t *testing.T, r io.Reader, except string) (out []Received) {
	t.Helper()
	in := bufio.NewScanner(r)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		line := in.Bytes()
		if except != "" && bytes.HasPrefix(line, []byte(except)) {
			continue
		}
		sig, ok := signalOf(line)
		if !ok {
			t.Errorf("no OTLP JSON: %.80q", line)
			continue
		}
		b, err := otlp.AppendProtoFromJSON(nil, sig, line)
		if err != nil {
			t.Errorf("%.80q: %v", line, err)
			continue
		}
		out = append(out, Received{Signal: sig, Body: b})
	}
	if err := in.Err(); err != nil {
		t.Error(err)
	}
	return out
}

// signalOf tells a request by its only member.
func signalOf(line []byte) (otlp.Signal, bool) {
	for i, key := range []string{`{"resourceSpans":`, `{"resourceMetrics":`, `{"resourceLogs":`} {
		if bytes.HasPrefix(line, []byte(key)) {
			return otlp.Signal(i), true
		}
	}
	return 0, false
}

// SameJSON is for Kind.Same: equal by the JSON of both.
func SameJSON(sig otlp.Signal, sent, got []byte) bool {
	a, errA := otlp.AppendJSONFromProto(nil, sig, sent)
	b, errB := otlp.AppendJSONFromProto(nil, sig, got)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
