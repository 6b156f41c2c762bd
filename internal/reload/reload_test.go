package reload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Reloader over a file.
type rig struct {
	*Reloader
	t    *testing.T
	file string
	reg  *prometheus.Registry
	log  bytes.Buffer

	mu     sync.Mutex // guards everything below
	events []audit.Event
	order  []string // what parts did
	fails  map[string]error
	during func() // called by Prepare
	latest *settings.Settings
}

func (r *rig) Record(e audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// newRig has two parts: one for log and one for retention and a destination's retry.
func newRig(t *testing.T, text string) *rig {
	t.Helper()
	r := &rig{t: t, file: filepath.Join(t.TempDir(), "penstock.yaml"), reg: prometheus.NewRegistry(), fails: map[string]error{}}
	r.write(text)
	src := settings.Source{File: r.file}
	_, loaded, err := settings.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	r.Reloader = New(Options{Running: loaded, Audit: r, Metrics: NewMetrics(r.reg), Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
		Read: func() (*config.Loaded, error) { _, l, err := settings.Load(src); return l, err }})
	r.Add(r.part("log", "log"))
	r.Add(r.part("janitor", "retention", "destinations[].retry", "worker"))
	r.Open()
	return r
}

func (r *rig) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) part(name string, keys ...string) Part {
	return Part{Name: name, Keys: keys, Prepare: func(s *settings.Settings) (func(), error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.during != nil {
			r.during()
		}
		r.order = append(r.order, "prepare "+name)
		return func() { r.order = append(r.order, "apply "+name); r.latest = s }, r.fails[name]
	}}
}

// says reloads and checks the outcome with the keys, and what the parts did.
func (r *rig) says(outcome string, applied, waiting []string, did ...string) Answer {
	r.t.Helper()
	r.order = nil
	a, err := r.Reload(r.t.Context(), By{Listener: "signal"})
	if err != nil || a.Outcome != outcome || !slices.Equal(a.Applied, applied) || !slices.Equal(a.Waiting, waiting) {
		r.t.Errorf("%+v, %v\nwant %s, in effect %q, waiting %q", a, err, outcome, applied, waiting)
	}
	if !slices.Equal(r.order, did) {
		r.t.Errorf("parts did %q, want %q", r.order, did)
	}
	if a.Hash != hash(r.Reloader) {
		r.t.Errorf("the answer's hash is %s, that of what runs %s", a.Hash, hash(r.Reloader))
	}
	return a
}

func hash(r *Reloader) string { return r.View(context.Background()).(View).Hash }

func (r *rig) metrics(want string) {
	r.t.Helper()
	got, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for _, f := range got {
		name := strings.TrimPrefix(f.GetName(), "penstock_config_")
		for _, m := range f.Metric {
			switch {
			case name == "reloads_total" && m.Counter.GetValue() > 0:
				lines = append(lines, fmt.Sprintf("%s=%g", m.Label[0].GetValue(), m.Counter.GetValue()))
			case name == "last_reload_successful" || name == "restart_required":
				lines = append(lines, fmt.Sprintf("%s=%g", name, m.Gauge.GetValue()))
			}
		}
	}
	if text := strings.Join(lines, " "); text != want {
		r.t.Errorf("metrics say %s\nwant %s", text, want)
	}
}

const some = "log: {level: info}\nretention: {replay_window: 1h}\nqueue: {dir: a, token: planted0}\n" +
	"destinations:\n  - {name: a, endpoints: [\"h:1\"]}\n  - {name: b, endpoints: [\"h:2\"]}\n"

func TestWhatIsLiveChangesAndTheRestIsNamed(t *testing.T) {
	r := newRig(t, some)
	none := []string{}
	r.says(Unchanged, none, none)
	before := hash(r.Reloader)
	r.write(strings.NewReplacer("info", "debug", "1h", "2h", "dir: a", "dir: b", "planted0", "planted1").Replace(some))
	a := r.says(Applied, []string{"retention.replay_window", "log.level"}, []string{"queue.dir", "queue.token"},
		"prepare log", "prepare janitor", "apply log", "apply janitor")
	s := r.Settings()
	if s.Log.Level != "debug" || s.Retention.ReplayWindow != config.Duration(2*time.Hour) || s.Queue.Dir != "a" || s.Queue.Token.Reveal() != "planted0" || r.latest != s {
		t.Errorf("runs with %+v", s)
	}
	if a.Hash == before {
		t.Error("the hash does not follow")
	}
	r.metrics("last_reload_successful=1 applied=1 unchanged=1 restart_required=1")
	// The next one finds the same waiting; what waits again is nothing new.
	r.says(Restart, none, []string{"queue.dir", "queue.token"})
	r.metrics("last_reload_successful=1 applied=1 restart_required=1 unchanged=1 restart_required=1")
	// Put back: no restart is due any more.
	r.write(strings.NewReplacer("info", "debug", "1h", "2h").Replace(some))
	r.says(Unchanged, none, none)
	r.metrics("last_reload_successful=1 applied=1 restart_required=1 unchanged=2 restart_required=0")
	// A live key below a list: the part of the others is not asked.
	r.write(strings.NewReplacer("info", "debug", "1h", "2h", `"h:2"]`, `"h:2"], retry: {max: 77s}`).Replace(some))
	r.says(Applied, []string{"destinations[b].retry.max"}, none, "prepare janitor", "apply janitor")
	if d := r.Settings().Destinations[1]; d.Retry.Max != config.Duration(77*time.Second) {
		t.Errorf("runs with %+v", d)
	}
	if log := r.log.String(); strings.Contains(log, "planted") || strings.Count(log, "level=WARN") != 2 || !strings.Contains(log, "restart_required=\"queue.dir, queue.token\"") {
		t.Errorf("logs\n%s", log)
	}
}

func TestABadFileChangesNothingAndSaysWhy(t *testing.T) {
	r := newRig(t, some)
	before := r.Settings()
	r.write("log: {level: loud}\nretention:\n  replay_window: -1s\nqueue: {dirr: x, token: [planted]}\n")
	a := r.says(Refused, []string{}, []string{})
	want := []Problem{
		{Source: r.file, Line: 1, Column: 14, Key: "log.level", Message: `want one of debug, info, warn, error; got "loud"`},
		{Source: r.file, Line: 3, Column: 18, Key: "retention.replay_window", Message: "is -1s: want 0s or more"},
		{Source: r.file, Line: 4, Column: 9, Key: "queue.dirr", Message: `unknown key; did you mean "dir"?`},
		{Source: r.file, Line: 4, Column: 25, Key: "queue.token", Message: "want a text such as ${env:NAME}; got a list"},
	}
	if !slices.Equal(a.Problems, want) || r.Settings() != before {
		t.Errorf("says %s", a.Text())
	}
	r.metrics("last_reload_successful=0 refused=1 restart_required=0")
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	if a := r.says(Refused, []string{}, []string{}); len(a.Problems) != 1 || !strings.Contains(a.Text(), "no such file") {
		t.Errorf("says %s", a.Text())
	}
	r.write(some)
	r.says(Unchanged, []string{}, []string{})
	r.metrics("last_reload_successful=1 refused=2 unchanged=1 restart_required=0")
}

func TestOnePartThatCannotKeepsAllFromChanging(t *testing.T) {
	r := newRig(t, some)
	before := r.Settings()
	r.fails["janitor"] = errors.Join(errors.New("no broom"))
	r.write(strings.NewReplacer("info", "debug", "1h", "2h").Replace(some))
	a := r.says(Refused, []string{}, []string{}, "prepare log", "prepare janitor")
	if a.Text() != "janitor: no broom" || r.Settings() != before {
		t.Errorf("says %q", a.Text())
	}
	r.fails["log"] = config.Problems{{Source: "f", Line: 3, Key: "log.level", Msg: "no"}, {Msg: "nor this"}}
	a = r.says(Refused, []string{}, []string{}, "prepare log", "prepare janitor")
	if a.Text() != "f:3: log.level: log: no\nlog: nor this\njanitor: no broom" {
		t.Errorf("says %q", a.Text())
	}
	clear(r.fails)
	r.says(Applied, []string{"retention.replay_window", "log.level"}, []string{}, "prepare log", "prepare janitor", "apply log", "apply janitor")
}

// A file that is valid, of which the live half does not go with the other: the
// worker's drain timeout follows at once, and the bound of the stop does not.
func TestAMixtureThatIsNotValidIsRefused(t *testing.T) {
	r := newRig(t, some)
	r.write(some + "worker: {drain_timeout: 80s}\nstop: {timeout: 90s}\n")
	a := r.says(Refused, []string{}, []string{})
	if len(a.Problems) != 2 || a.Problems[0].Message != mixture || a.Problems[1].Key != "worker.drain_timeout" || a.Problems[1].Line != 7 {
		t.Errorf("says %s", a.Text())
	}
	r.write(some + "worker: {drain_timeout: 15s}\nstop: {timeout: 90s}\n")
	r.says(Applied, []string{"worker.drain_timeout"}, []string{"stop.timeout"}, "prepare janitor", "apply janitor")
	r.write(some + "worker: {drain_timeout: 30s}\nstop: {timeout: 90s}\n")
	r.says(Applied, []string{"worker.drain_timeout"}, []string{"stop.timeout"}, "prepare janitor", "apply janitor")
}

// What a file behind a reference holds is read again; that it differs is seen
// although the file of the configuration is the same, and the value is not told.
func TestReferencesAreReadAgain(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	put := func(text string) {
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("planted1")
	r := newRig(t, "queue: {token: \"${file:"+secret+"}\"}\n")
	put("planted2")
	a := r.says(Restart, []string{}, []string{"queue.token"})
	if b, err := json.Marshal(a); err != nil || strings.Contains(string(b)+r.log.String()+fmt.Sprint(r.events), "planted") {
		t.Errorf("%s, %v", b, err)
	}
	var out bytes.Buffer
	if err := r.Print(&out, "yaml"); err != nil || strings.Contains(out.String(), "planted") || !strings.Contains(out.String(), "token: ${file:") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestEachReloadIsRecorded(t *testing.T) {
	r := newRig(t, some)
	r.write(strings.ReplaceAll(some, "info", "debug"))
	if _, err := r.Reload(t.Context(), By{Subject: "key:ci", Method: "api_key", Peer: "127.0.0.1:9", Listener: "admin"}); err != nil {
		t.Fatal(err)
	}
	r.write("nonsense: 1\n")
	r.says(Refused, []string{}, []string{})
	if len(r.events) != 2 {
		t.Fatalf("recorded %+v", r.events)
	}
	e := r.events[0]
	if e.Action != "reload" || e.Outcome != audit.Done || e.Subject != "key:ci" || e.Method != "api_key" || e.Peer != "127.0.0.1:9" || e.Listener != "admin" ||
		!slices.Contains(e.Details, audit.Detail{Name: "applied", Value: "log.level"}) {
		t.Errorf("recorded %+v", e)
	}
	if e := r.events[1]; e.Outcome != audit.Failed || !strings.Contains(e.Reason, "nonsense: unknown key") || e.Listener != "signal" {
		t.Errorf("recorded %+v", e)
	}
}

func TestNothingIsReloadedBeforeTheStartAndAfterTheStop(t *testing.T) {
	r := newRig(t, some)
	closed := New(Options{Running: r.o.Running, Read: r.o.Read, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	if _, err := closed.Reload(t.Context(), By{}); !errors.Is(err, ErrClosed) {
		t.Errorf("before Open: %v", err)
	}
	closed.Open()
	if a, err := closed.Reload(t.Context(), By{}); err != nil || a.Outcome != Unchanged {
		t.Errorf("%+v, %v", a, err)
	}
	if err := closed.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := closed.Reload(t.Context(), By{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// One at a time: the second waits for its turn as long as it likes, and Close waits
// for the one that runs.
func TestReloadsTakeTurns(t *testing.T) {
	r := newRig(t, some)
	inside, release := make(chan struct{}), make(chan struct{})
	r.during = func() { close(inside); <-release }
	r.write(strings.ReplaceAll(some, "info", "debug"))
	var wg sync.WaitGroup
	wg.Go(func() {
		if a, err := r.Reload(t.Context(), By{}); err != nil || a.Outcome != Applied {
			t.Errorf("the first: %+v, %v", a, err)
		}
	})
	<-inside
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Reload(impatient, By{}); !errors.Is(err, context.Canceled) {
		t.Errorf("one that does not wait: %v", err)
	}
	r.View(t.Context()) // can be seen in the meantime
	var outcomes sync.Map
	for i := range 8 {
		wg.Go(func() {
			a, err := r.Reload(t.Context(), By{})
			if err != nil {
				t.Errorf("one that waits: %v", err)
			}
			outcomes.Store(i, a.Outcome)
		})
	}
	close(release)
	wg.Wait()
	for i := range 8 {
		if o, _ := outcomes.Load(i); o != Unchanged {
			t.Errorf("one that waited found %v", o)
		}
	}
	inside, release = make(chan struct{}), make(chan struct{})
	r.during = func() { close(inside); <-release }
	r.write(some)
	wg.Go(func() {
		if _, err := r.Reload(context.WithoutCancel(t.Context()), By{}); err != nil {
			t.Error(err)
		}
	})
	<-inside
	if err := r.Close(impatient); err == nil {
		t.Error("Close does not wait for the reload that runs")
	}
	close(release)
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// Reloads, prints and status at once, while the file changes under them: for the
// race detector, and each answer must be of one whole file.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t, some)
	stop := make(chan struct{})
	var writer, wg sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			text := fmt.Sprintf("log: {level: %s}\nretention: {replay_window: %dh}\n", []string{"info", "debug"}[i%2], 1+i%2)
			tmp := r.file + ".new"
			if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, r.file)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if a, err := r.Reload(t.Context(), By{}); err != nil || a.Outcome == Refused {
					t.Errorf("%+v, %v", a, err)
				}
				s := r.Settings()
				if whole := (s.Log.Level == "debug") == (s.Retention.ReplayWindow == config.Duration(2*time.Hour)); !whole {
					t.Errorf("runs half of each: %s, %s", s.Log.Level, s.Retention.ReplayWindow)
				}
				var out bytes.Buffer
				if err := r.Print(&out, "json"); err != nil {
					t.Error(err)
				}
				r.View(t.Context())
			}
		})
	}
	wg.Wait()
	close(stop)
	writer.Wait()
}

func TestMetricsAreWellFormed(t *testing.T) {
	r := newRig(t, some)
	problems, err := testutil.GatherAndLint(r.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	var number uint64
	if _, err := fmt.Sscanf(hash(r.Reloader)[:12], "%x", &number); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("# HELP penstock_config_info 1 for the hash of the running configuration. Secrets have no part in it.\n# TYPE penstock_config_info gauge\npenstock_config_info{hash=%q} 1\n", hash(r.Reloader))
	if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "penstock_config_info"); err != nil {
		t.Error(err)
	}
	if got := testutil.ToFloat64(r.o.Metrics.hash); got != float64(number) || number == 0 {
		t.Errorf("the hash as a number is %g, want %d", got, number)
	}
	if got := testutil.ToFloat64(r.o.Metrics.succeeded); got <= 0 {
		t.Error("there is no time of the start")
	}
}

func TestALogNamesABoundedNumberOfKeys(t *testing.T) {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%d", i)
	}
	if got := named(keys); !strings.HasSuffix(got, "k49 and 950 more") || named(keys[:2]) != "k0, k1" || named(nil) != "" {
		t.Errorf("says %s", got)
	}
}
