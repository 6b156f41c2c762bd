package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	l, level, err := LogConfig{Level: "warn", Format: "json"}.Logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	Component(l, "committer").Warn("slow", "took", 1500*time.Millisecond)
	l.Info("not shown")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["took"] != "1.5s" || line["component"] != "committer" || line["level"] != "WARN" {
		t.Errorf("%v, logs %s", err, out.String())
	}
	component := Component(l, "c")
	level.Set(slog.LevelDebug)
	if component.Debug("now shown"); !strings.Contains(out.String(), "now shown") {
		t.Error("the level of a logger that is in use does not change")
	}
	f := func(level, format string, lowest slog.Level, want string) {
		t.Helper()
		var out bytes.Buffer
		l, _, err := LogConfig{Level: level, Format: format}.Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		l.Log(t.Context(), lowest-1, "below")
		l.Log(t.Context(), lowest, "at")
		if strings.Contains(out.String(), "below") || !strings.Contains(out.String(), want) {
			t.Errorf("%s %s logs %s", level, format, out.String())
		}
	}
	f("debug", "text", slog.LevelDebug, "msg=at")
	f("", "", slog.LevelInfo, `"msg":"at"`)
	f("info", "json", slog.LevelInfo, `"msg":"at"`)
	f("error", "json", slog.LevelError, `"msg":"at"`)
	if c := DefaultLogConfig(); c.Level != "info" || c.Format != "json" {
		t.Error("the default is", c)
	}
	for _, bad := range []LogConfig{{Level: "loud"}, {Format: "xml"}} {
		if _, _, err := bad.Logger(&out); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestBuildInfo(t *testing.T) {
	f := func(got BuildInfo, want string) {
		t.Helper()
		if want += fmt.Sprintf(", %s, %s/%s)", runtime.Version(), runtime.GOOS, runtime.GOARCH); got.String() != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	f(buildInfo("", "", "", nil), "penstock devel (commit unknown")
	f(buildInfo("", "", "", info), "penstock v1.2.3 (commit 0123456789ab+modified")
	f(buildInfo("v9", "abc", "d", info), "penstock v9 (commit abc+modified")
	f(buildInfo("", "", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}), "penstock devel (commit unknown")
	if got := buildInfo("", "", "", info); got.Date != "2026-01-02T03:04:05Z" || !got.Modified {
		t.Errorf("%+v", got)
	}
	if Version().GoVersion != runtime.Version() {
		t.Errorf("%+v", Version())
	}
}

// record is a log that timers and a test share.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.buf.Reset()
	return r.buf.String()
}

// lines is what a Repeat logged since the last call, one "msg repeated" a line.
func lines(out *record) string {
	var got []string
	for line := range strings.Lines(out.take()) {
		var l struct {
			Msg      string
			N        int
			Repeated int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return line
		}
		got = append(got, fmt.Sprintf("%s n=%d x%d", l.Msg, l.N, l.Repeated))
	}
	return strings.Join(got, ", ")
}

func TestARepeatedErrorIsSaidOnceWithACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out record
		r := NewRepeat(slog.New(slog.NewJSONHandler(&out, nil)), 10*time.Second)
		f := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := lines(&out); got != want {
				t.Errorf("at %s: says %q, want %q", time.Now().Format(time.TimeOnly), got, want)
			}
		}
		for n := range 1000 {
			r.Error("a", "down", "n", n)
			r.Warn("b", "slow")
		}
		f("down n=0 x0, slow n=0 x0")
		time.Sleep(9 * time.Second)
		r.Error("a", "down", "n", 1000)
		f("")
		time.Sleep(time.Second) // the interval's end says how often, with the latest
		synctest.Wait()
		got := lines(&out)
		if got != "down n=1000 x1000, slow n=0 x999" && got != "slow n=0 x999, down n=1000 x1000" {
			t.Errorf("says %q", got)
		}
		r.Error("a", "down", "n", 7)
		f("")
		time.Sleep(10 * time.Second)
		f("down n=7 x1")
		time.Sleep(10 * time.Second) // a quiet interval: forgotten, nothing said
		f("")
		r.Error("a", "down", "n", 8)
		f("down n=8 x0")
		r.Error("a", "down", "n", 9)
		r.Stop()
		f("down n=9 x1")
		r.Error("a", "down", "n", 10)
		r.Error("a", "down", "n", 11)
		f("down n=10 x0, down n=11 x0")
	})
}

func TestARepeatRemembersABoundedNumberOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out record
		r := NewRepeat(slog.New(slog.NewJSONHandler(&out, nil)), time.Hour)
		r.Warn("oldest", "first")
		r.Warn("oldest", "first")
		for n := range maxRepeats {
			time.Sleep(time.Millisecond)
			r.Warn(fmt.Sprint(n), "m")
		}
		if len(r.seen) != maxRepeats || r.seen["oldest"] != nil || !strings.Contains(out.take(), `"repeated":1`) {
			t.Errorf("remembers %d", len(r.seen))
		}
		r.Stop()
	})
}
