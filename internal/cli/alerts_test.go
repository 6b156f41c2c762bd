package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/user"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter/alertertest"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/alerting/stats"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// alertPort is the admin port of a process that has an alerter, as far as the commands
// see it: what fires is what a test says.
func alertPort(t *testing.T) (*alertertest.Service, *api.API, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	a := app.New("test", log)
	port, err := admin.New(admin.Options{Config: admin.Config{Listen: "127.0.0.1:0"}, Name: "test", Registry: prometheus.NewRegistry(), State: a.State(), Logger: log,
		BuildInfo: app.Version(), EffectiveConfig: func(io.Writer, string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	served := api.New(port, audit.None{}, log)
	s := alertertest.New(t)
	served.AttachAlerts(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- a.Run(ctx, func(_ context.Context, a *app.App) error { port.Start(a); return nil })
	}()
	t.Cleanup(func() {
		served.Detach()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, served, port.Addr()
}

// TestANightOnCall runs every command of alerts.
func TestANightOnCall(t *testing.T) {
	s, _, addr := alertPort(t)
	f := func(code int, out, errOut string, args ...string) string {
		t.Helper()
		return wants(t, code, out, errOut, append(append([]string{"alerts"}, args...), "--admin", addr)...)
	}
	f(0, `^nothing fires: there are no incidents that go on\n$`, `^$`, "ls")
	f(0, `^no incidents, neither now`, ``, "ls", "--all")
	f(0, `^nothing fires\n$`, ``, "ls", "--alerts")
	f(0, `^no silences\n$`, ``, "ls", "--silences")
	f(0, `"incidents": \[\]`, ``, "ls", "-o", "json")
	f(0, `^nothing happened`, ``, "history")
	f(0, `^0 alerts fired`, ``, "stats")

	s.Policy = alerts.Policy{Name: "night", GroupBy: []string{"alertname"}, Levels: []alerts.Level{{Targets: []string{"phone"}, While: alerts.Unacked}, {After: 5 * time.Minute, Targets: []string{"boss"}, While: alerts.Unresolved}}}
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning", "service", "checkout"), alertertest.Alert("Slow", "warning", "service", "cart\x1b[2J"))
	s.Evaluate("blue", "Down", alertertest.Alert("Down", "critical", "instance", "web-1"))
	list := reads[api.IncidentList](t, "alerts", "ls", "--admin", addr).Incidents
	ids := map[string]string{}
	for _, i := range list {
		ids[i.Title] = i.ID[len(i.ID)-6:]
	}
	table := f(0, `(?s)^ID +SEVERITY +STATE +AGE +LEVEL +WHO +ALERTS +TITLE\n`+ids["Down"]+` +critical +open +\S+ +0/2 +– +1 +Down\n`+ids["Slow"]+` +warning +open +\S+ +0/2 +– +2 +Slow\n$`, `^$`, "ls")
	for _, line := range strings.Split(table, "\n") {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("longer than 80 characters: %s", line)
		}
	}
	f(0, `Down\n$`, ``, "ls", "--severity", "critical")
	f(0, `^ID.*\n.*Slow\n$`, ``, "ls", "--match", `service="checkout"`)
	f(0, `Down\n$`, ``, "ls", "--tenant", "blue", "--rule", "Down")
	f(0, `Slow +warning +firing +\S+ +1.5 +– +service=checkout`, ``, "ls", "--alerts")
	if out := f(0, `service=cart·\[2J`, ``, "ls", "--alerts"); strings.ContainsRune(out, 0x1b) {
		t.Error("a label reaches the terminal as it is")
	}
	f(0, `^ID`, `there may be more: --limit 0`, "ls", "--limit", "1")
	if n := len(reads[api.AlertList](t, "alerts", "ls", "--alerts", "--limit", "0", "--admin", addr).Alerts); n != 3 {
		t.Errorf("%d alerts", n)
	}

	down, slow := ids["Down"], strings.ToLower(ids["Slow"])
	f(0, `^Down \(\S+`+down+`\) is acked by anna until \S+\n$`, ``, "ack", down, "--comment", "I look at it", "--for", "1h", "--by", "anna")
	f(0, `(?s)Slow.*`+down+` +critical +acked +\S+ +0/2 +anna`, ``, "ls") // what nobody has comes first
	f(0, `is open\n$`, ``, "unack", down, "--comment", "not mine")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	f(0, `is acked by `+me.Username+`\n`, ``, "ack", down)
	show := f(0, `(?s)incident +\S+`+down+`\ntitle +Down\nseverity +critical\ntenant +blue\nstate +acked by .*policy +night, level 0/2, cycle 2.*firing +critical.*Down instance=web-1\n +summary: Down is not well.*LEVEL.*2 +5m00s +unresolved +boss`, ``, "show", down)
	for _, want := range []string{"Down begins as incident ", "Down fires, critical: instance=web-1", "Down is taken by anna until ", ": I look at it", "Down is given back by " + me.Username + ": not mine"} {
		if !strings.Contains(show, want) {
			t.Errorf("%q is not in\n%s", want, show)
		}
	}
	f(0, `acked_by: `+me.Username, ``, "show", down, "-o", "yaml")
	f(0, `^Slow \(\S+\) is closed\n$`, ``, "resolve", slow, "--comment", "fixed")
	f(1, ``, `is closed since`, "ack", slow)
	f(1, ``, `incident "NOTHERE" is not known.*penstock alerts ls`, "ack", "NOTHERE")
	f(1, ``, `not known`, "show", "NOTHERE")
	f(0, `(?s)closed.*Slow`, ``, "ls", "--all")
	f(0, `resolved`, ``, "ls", "--all", "--alerts", "--rule", "Slow")

	f(2, ``, `say for how long`, "silence", `alertname="Down"`)
	f(2, ``, `say for how long`, "silence", `alertname="Down"`, "--for", "1h", "--until", "2099-01-01")
	f(2, ``, `requires at least 1 arg`, "silence", "--for", "1h")
	f(2, ``, `match every alert`, "silence", `alertname=~".*"`, "--for", "1h")
	f(2, ``, `for is "soon"`, "silence", `alertname="Down"`, "--for", "soon")
	f(2, ``, `--until: "soon" is no time`, "silence", `alertname="Down"`, "--until", "soon")
	f(2, ``, `--from: "soon" is no time`, "silence", `alertname="Down"`, "--for", "1h", "--from", "soon")
	f(2, ``, `is over`, "silence", `alertname="Down"`, "--until", "-1h")
	out := f(0, `^silence \S{26} is active until \S+; it matches 1 firing alert of blue now\n$`, ``, "silence", `alertname="Down"`, `instance=~"web-.*"`, "--for", "2h", "--comment", "new kernel", "--tenant", "blue", "--by", "anna")
	id := strings.Fields(out)[1]
	f(0, `(?s)^ID +STATE.*`+id[20:]+` +active +\S+( \S+)? +blue +anna +1 +alertname="Down" instance=~"web-\.\*" \(new kernel\)\n$`, ``, "ls", "--silences")
	f(0, `no silences`, ``, "ls", "--silences", "--tenant", "green")
	f(0, `^silence `+id+` \(alertname="Down" instance=~"web-\.\*"\) has ended\n$`, ``, "unsilence", id[20:])
	f(1, ``, `silence "NOTHERE" is not known`, "unsilence", "NOTHERE")
	f(0, `expired`, ``, "ls", "--silences", "--all")

	s.Append(func() ([]alerts.Event, error) {
		n := &alerts.Notified{Group: "g", Receiver: "phone/webhook/0", Firing: []alerts.Key{alerts.KeyOf("blue", alertertest.Alert("Down", "critical", "instance", "web-1").Labels)}, Millis: 250}
		failed, ended := *n, *n
		failed.Error, ended.Error, ended.Firing, ended.Resolved = "timeout", "refused", nil, n.Firing
		return []alerts.Event{{Kind: alerts.EventNotified, Tenant: "blue", Notified: n}, {Kind: alerts.EventNotifyFailed, Tenant: "blue", Notified: &failed}, {Kind: alerts.EventNotifyDropped, Tenant: "blue", Notified: &ended}, {Kind: "of tomorrow"}}, nil
	})
	history := f(0, ``, ``, "history", "--limit", "0")
	for _, want := range []string{"Slow fires, warning: service=checkout", "Slow is resolved by " + me.Username + ": fixed", "Slow is over by", "silence " + id + ` of alertname="Down" instance=~"web-.*" by anna until `, "is ended by " + me.Username,
		"Down: phone/webhook/0 was told of 1 firing in 250ms", "could not be told of 1 firing, and is tried again: timeout", "is not told of 1 resolved: refused", "of tomorrow"} {
		if !strings.Contains(history, want) {
			t.Errorf("%q is not in\n%s", want, history)
		}
	}
	if lines := strings.Split(f(0, ``, ``, "history", "--incident", down, "--kind", "acked"), "\n"); len(lines) != 3 || !strings.Contains(lines[1], "Down is taken by "+me.Username) {
		t.Errorf("%q", lines)
	}
	if n := len(reads[api.AlertHistory](t, "alerts", "history", "--limit", "2", "--admin", addr).Events); n != 2 {
		t.Errorf("%d events", n)
	}
	f(2, ``, `--since: "yesterday" is no time`, "history", "--since", "yesterday")
	f(2, ``, `--limit is 1001`, "history", "--limit", "1001")
	f(1, ``, `not known`, "history", "--incident", "NOTHERE")
	f(0, `^nothing happened`, ``, "history", "--until", "-1h")

	f(0, `(?s)^3 alerts fired and 2 resolved since .*2 incidents, 0 reopened, 1 closed; 2 acks.*until somebody had it +1 .*RULE.*Slow +2 +2 +0.*SEVERITY.*critical +1\nwarning +2.*TENANT.*blue +1.*phone/webhook/0 +1 +1 +1 +50.0 % +250ms`, ``, "stats")
	if st := reads[stats.Stats](t, "alerts", "stats", "--tenant", "blue", "--admin", addr); st.Fired != 1 {
		t.Errorf("%+v", st)
	}
	f(2, ``, `--until: "x"`, "stats", "--until", "x")

	// Wrong usage.
	f(2, ``, `two lists`, "ls", "--alerts", "--silences")
	f(2, ``, `takes --tenant and --all`, "ls", "--silences", "--rule", "x")
	f(2, ``, `--limit is -1`, "ls", "--limit", "-1")
	f(2, ``, `output is "xml"`, "ls", "-o", "xml")
	f(2, ``, `match`, "ls", "--match", `"`)
	f(2, ``, `accepts 1 arg`, "ack")
	f(2, ``, `want line or json`, "watch", "-o", "yaml")
	wants(t, 2, ``, `unknown command "fix" for "penstock alerts"`, "alerts", "fix")
	for _, args := range [][]string{{"ls"}, {"show", "x"}, {"ack", "x"}, {"unack", "x"}, {"resolve", "x"}, {"silence", "a=b", "--for", "1h"}, {"unsilence", "x"}, {"history"}, {"stats"}, {"watch"}} {
		wants(t, 1, ``, `no answer from the admin port`, append(append([]string{"alerts"}, args...), "--admin", "127.0.0.1:1")...)
	}
}

func TestWithoutAnAlerterCommandsSayWhatToDo(t *testing.T) {
	_, served, addr := alertPort(t)
	served.AttachAlerts(nil)
	for _, args := range [][]string{{"ls"}, {"show", "x"}, {"ack", "x"}, {"silence", "a=b", "--for", "1h"}, {"history"}, {"stats"}, {"watch"}} {
		wants(t, 1, ``, `runs no alerter.*--admin`, append(append([]string{"alerts"}, args...), "--admin", addr)...)
	}
}

// TestAlertsWatch: a line for each thing that happens, until there was enough or
// somebody ends it.
func TestAlertsWatch(t *testing.T) {
	s, _, addr := alertPort(t)
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning", "service", "a"))
	s.Evaluate("", "Slow")
	wants(t, 0, `^\S+ \S+  Slow is resolved\n\S+ \S+  Slow is over\n$`, `^$`, "alerts", "watch", "--after", "1", "--limit", "2", "--admin", addr, "--kind", "resolved,closed")

	var out, errOut output
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan int, 1)
	start := func(args ...string) {
		cmd := Root()
		cmd.SetArgs(append([]string{"alerts", "watch", "--admin", addr}, args...))
		cmd.SetOut(&out)
		cmd.SetErr(&errOut)
		go func() {
			code := 0
			if err := cmd.ExecuteContext(ctx); err != nil {
				code = rolecmd.ExitFailed
			}
			done <- code
		}()
	}
	start("-o", "json", "--after", "1")
	until(t, "what was", func() bool { return strings.Contains(out.String(), `"kind":"closed"`) })
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning", "service", "a"))
	until(t, "what happens", func() bool { return strings.Contains(out.String(), `"kind":"fired"`) })
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var e api.AlertEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Position < 2 || e.StoredAt.IsZero() || e.Kind == api.WatchBegins {
			t.Errorf("%s: %v", line, err)
		}
	}
	cancel()
	select {
	case code := <-done:
		if code != 0 || errOut.String() != "" {
			t.Errorf("ended with %d, %s", code, errOut.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("the watch does not end")
	}
}

// TestTheAlerterInTheStatus says what it does, and what is wrong.
func TestTheAlerterInTheStatus(t *testing.T) {
	f := func(s alerting.Status, want string) {
		t.Helper()
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := alerterTable(newTable(&out), b); err != nil || !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("%v, want %s:\n%s", err, want, out.String())
		}
	}
	rules := []alerting.Group{{Name: "g", Rules: []alerting.Rule{{Name: "A"}, {Name: "B"}}}}
	f(alerting.Status{CaughtUp: true}, `^\nno alerting rules are configured\n$`)
	f(alerting.Status{CaughtUp: true, Tells: true, Rules: rules, Watermark: time.Now()}, `^\nALERTER: 2 rules, read up to \d\d:\d\d:\d\d; this replica tells\n$`)
	f(alerting.Status{Rules: rules[:1], Store: "redis", StoreErr: "timeout"}, `another replica tells\n(.*\n)*  ✗ the log of alerts is not read.*\n  ✗ redis does not answer: timeout\n$`)
	if err := alerterTable(newTable(io.Discard), []byte("[]")); err == nil {
		t.Error("an answer of another version is taken")
	}
}

// cutter forwards connections to an address until they are cut.
type cutter struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn // mu
	all   sync.WaitGroup
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l}
	c.all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close() // who asked sees that
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			c.all.Go(func() { _, _ = io.Copy(out, in) }) // until it is cut
			c.all.Go(func() { _, _ = io.Copy(in, out) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); c.cut(); c.all.Wait() })
	return c
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close() // that is the point
	}
	c.conns = nil
}

// TestAWatchThatIsCutOffGoesOn where it was: nothing is missed and nothing comes twice.
func TestAWatchThatIsCutOffGoesOn(t *testing.T) {
	s, _, addr := alertPort(t)
	c := newCutter(t, addr)
	var out, errOut output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cmd := Root()
	cmd.SetArgs([]string{"alerts", "watch", "--admin", c.Addr().String(), "--kind", "fired", "-o", "json"})
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	defer cancel()
	until(t, "the watch", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.conns) > 0 })
	fires := func(rule string) { s.Evaluate("", rule, alertertest.Alert(rule, "warning")) }
	n := 0
	until(t, "the first lines", func() bool { // it begins with what comes after it began
		n++
		fires(fmt.Sprint("begin ", n))
		return strings.Contains(out.String(), `"fired"`)
	})
	for n := range 3 {
		c.cut()
		fires(fmt.Sprint("while it is cut ", n))
	}
	fires("the last")
	until(t, "the last line", func() bool { return strings.Contains(out.String(), "the last") })
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("it does not end: %s%s", out.String(), errOut.String())
	}
	seen := map[uint64]bool{}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := uint64(0)
	for _, line := range lines {
		var e api.AlertEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil || seen[e.Position] || last > 0 && e.Position != last+1 {
			t.Errorf("%s: %v, behind %d", line, err, last)
		}
		seen[e.Position], last = true, e.Position
	}
	if len(lines) < 5 || !strings.Contains(errOut.String(), "was cut off and goes on") {
		t.Errorf("%d lines, %s", len(lines), errOut.String())
	}
}
