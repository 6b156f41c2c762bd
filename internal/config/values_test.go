package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestByteSizeReads(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		got, err := ParseByteSize(text)
		if err != nil || int64(got) != want {
			t.Errorf("ParseByteSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	f("0", 0)
	f("1000", 1000)
	f("512B", 512)
	f("3.5MiB", 3670016)
	f("10GiB", 10<<30)
	f(" 64 KiB ", 64<<10)
	f("64kib", 64<<10)
	f("1MB", 1e6)
	f("1kB", 1000)
	f("2Gi", 2<<30)
	f("1.1KiB", 1126) // 1126.4: a fraction of a byte is cut off
	f("7PiB", 7<<50)
	f("9223372036854775807", math.MaxInt64)
}

func TestByteSizeRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got, err := ParseByteSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseByteSize(%q) = %d, %v; want an error with %q", text, got, err, want)
		}
	}
	f("", "no number")
	f("MiB", "no number")
	f("-1", "no number")
	f("1e9", "unknown unit")
	f("1.2.3", "not a number")
	f("10 furlongs", "furlongs")
	f("9223372036854775808", "too large")
	f("9999PiB", "too large")
	f(strings.Repeat("9", 1000), "digits")
}

func TestByteSizePrintsTheShortestFormThatReadsBack(t *testing.T) {
	f := func(b ByteSize, want string) {
		t.Helper()
		if got := b.String(); got != want {
			t.Errorf("%d prints %q, want %q", int64(b), got, want)
		}
	}
	f(0, "0B")
	f(1000, "1000B")
	f(1024, "1KiB")
	f(1536, "1.5KiB")
	f(3670016, "3.5MiB")
	f(10*GiB, "10GiB")
	f(1025, "1025B")
	f(512, "512B")
	f(3*PiB/2, "1.5PiB")
	f(-5, "-5B")
	for _, b := range []ByteSize{1, 1023, 1 << 31, 123456789, math.MaxInt64, math.MaxInt64 - 1, TiB + 1, 5*MiB + 512*KiB} {
		if back, err := ParseByteSize(b.String()); err != nil || back != b {
			t.Errorf("%d prints %s, which reads back as %d, %v", int64(b), b, back, err)
		}
	}
}

func FuzzByteSizeReadsBack(f *testing.F) {
	f.Add("3.5MiB")
	f.Add("0.0009PiB")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseByteSize(text)
		if err != nil {
			return
		}
		if back, err := ParseByteSize(b.String()); err != nil || back != b || b < 0 {
			t.Fatalf("%q is %d, prints %q, reads back as %d, %v", text, int64(b), b, back, err)
		}
	})
}

func TestDuration(t *testing.T) {
	f := func(text string, want time.Duration, prints string) {
		t.Helper()
		got, err := ParseDuration(text)
		if err != nil || got.D() != want || got.String() != prints {
			t.Errorf("ParseDuration(%q) = %s, %v; want %s printed %q", text, got, err, want, prints)
		}
	}
	f("0", 0, "0s")
	f("45s", 45*time.Second, "45s")
	f("5m", 5*time.Minute, "5m")
	f("90m", 90*time.Minute, "1h30m")
	f("1h", time.Hour, "1h")
	f("10m", 10*time.Minute, "10m")
	f("1h0m5s", time.Hour+5*time.Second, "1h0m5s")
	f("250ms", 250*time.Millisecond, "250ms")
	f("7d", 168*time.Hour, "168h")
	f("1d12h", 36*time.Hour, "36h")
	f("-1d12h", -36*time.Hour, "-36h")
	f("-5m", -5*time.Minute, "-5m")

	for _, bad := range []string{"", "5", "5 minutes", "d", "NaNd", "1d-2h", "1dx", "1000000d", "106751d23h47m17s", "xd"} {
		if got, err := ParseDuration(bad); err == nil {
			t.Errorf("ParseDuration(%q) = %s, want an error", bad, got)
		}
	}
	if _, err := ParseDuration("53000d1300000h"); err == nil {
		t.Error("a sum beyond the longest duration is read")
	}
}

// No way of printing shows a secret.
func TestSecretIsNeverPrinted(t *testing.T) {
	const hidden = "hunter2"
	type holder struct {
		Token Secret `json:"token" yaml:"token"`
	}
	h := holder{hidden}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%e", "%U", "%c", "%08.3f"} {
		for _, v := range []any{h.Token, &h.Token, h, &h, []Secret{hidden}, map[string]Secret{"a": hidden}} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, hidden) || strings.Contains(out, "68756e74") || strings.Contains(out, "68756E74") {
				t.Errorf("%s of %T shows %s", verb, v, out)
			}
		}
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("x", "token", h.Token, "holder", h, "any", slog.AnyValue(h.Token))
	}
	asJSON, err1 := json.Marshal(h)
	asYAML, err2 := yaml.Marshal(h)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, out := range []string{log.String(), string(asJSON), string(asYAML), fmt.Errorf("with %w", fmt.Errorf("%v", h)).Error()} {
		if strings.Contains(out, hidden) || !strings.Contains(strings.ReplaceAll(out, `\u003c`, "<"), "<redacted") {
			t.Errorf("shows %s", out)
		}
	}
	if h.Token.Reveal() != hidden || Secret("").String() != "" || fmt.Sprintf("%#v", Secret("")) != `config.Secret("")` {
		t.Error("Reveal or the empty secret is wrong")
	}
	var read holder
	if err := json.Unmarshal([]byte(`{"token":"hunter2"}`), &read); err != nil || read.Token.Reveal() != hidden {
		t.Errorf("reads back %q, %v", read.Token.Reveal(), err)
	}
}

func TestNearest(t *testing.T) {
	f := func(word, want string, candidates ...string) {
		t.Helper()
		if got := nearest(word, candidates); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	f("lisen", "listen", "tls", "listen")
	f("Listen", "listen", "listen")
	f("max-bytes", "max_bytes", "max_items", "max_bytes")
	f("xyz", "", "listen", "tls")
	f("", "", "abc")
}
