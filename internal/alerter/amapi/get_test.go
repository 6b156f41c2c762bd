package amapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
)

var update = flag.Bool("update", false, "write the answers anew")

func counter(t *testing.T, r *replica, outcome string) prometheus.Collector {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == outcome {
					c := prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})
					c.Set(m.GetCounter().GetValue())
					return c
				}
			}
		}
	}
	t.Fatalf("nothing is counted as %s", outcome)
	return nil
}

// history is a state whose answers are known to the byte.
func history(t *testing.T) *replica {
	log := alertstest.NewLog()
	fired := func(file, labels string, end time.Time) alerts.Event {
		var list []alerts.Label
		for _, pair := range strings.Fields(labels) {
			name, value, _ := strings.Cut(pair, "=")
			list = append(list, alerts.Label{Name: name, Value: value})
		}
		l := alerts.LabelsOf(list...)
		a := &alerts.Alert{Key: alerts.KeyOf("", l), File: file, Rule: l.Get("alertname"), Labels: l, Annotations: alerts.LabelsOf(alerts.Label{Name: "summary", Value: "it <is> slow"}),
			ActiveAt: noon.Add(-time.Minute), FiredAt: noon.Add(-time.Minute), Watermark: noon, EndsAt: end}
		if file == alerts.SourceExternal {
			a.Source = "http://prom.example/graph?g0.expr=up+%3D%3D+0&g0.tab=1"
		}
		return alerts.Event{Kind: alerts.EventFired, Alert: a.Key, Watermark: noon, Fired: a}
	}
	silenced := func(id string, matcher string, starts, ends time.Duration) alerts.Event {
		return alerts.Event{Kind: alerts.EventSilenced, Silence: &alerts.Silence{ID: id, Matchers: []string{matcher, `env!~"a|b"`}, Starts: noon.Add(starts), Ends: noon.Add(ends), By: "ann", Comment: "works"}}
	}
	last := uint64(0)
	for _, events := range [][]alerts.Event{
		{fired("rules.yml", "alertname=Slow job=api severity=warning", time.Time{}), fired("rules.yml", "alertname=Slow job=db severity=critical", time.Time{})},
		{fired(alerts.SourceExternal, "alertname=Posted job=db", noon.Add(4*time.Minute)), fired("rules.yml", "alertname=Down job=api severity=critical", time.Time{})},
		{silenced("01J00000000000000000000001", `alertname="Posted"`, -200*365*24*time.Hour, time.Hour), silenced("01J00000000000000000000002", `job=~"d.*"`, time.Hour, 2*time.Hour),
			silenced("01J00000000000000000000003", `job!="db"`, -2*time.Hour, -time.Hour), silenced("01J00000000000000000000004", `job="x"`, -2*time.Hour, -time.Minute)},
	} {
		at, err := log.Append(t.Context(), last, events)
		if err != nil {
			t.Fatal(err)
		}
		last = at
	}
	r := open(t, log, func() time.Time { return noon })
	r.eventually("the history is read", func() bool { return r.state.At() == last })
	r.eventually("inhibition, which upstream does beside, has begun", func() bool {
		return strings.Contains(r.asks(http.StatusOK, "GET", "alerts", ""), amnotify.Inhibited)
	})
	return r
}

// TestAnswers compares whole answers with what they were, each of the form of
// Alertmanager.
func TestAnswers(t *testing.T) {
	r := history(t)
	for name, path := range map[string]string{
		"alerts": "alerts", "groups": "alerts/groups", "silences": "silences", "silence": "silence/01J00000000000000000000002", "receivers": "receivers", "status": "status",
	} {
		var got bytes.Buffer
		if err := json.Indent(&got, []byte(r.asks(http.StatusOK, "GET", path, "")), "", "\t"); err != nil {
			t.Fatal(err)
		}
		text := got.Bytes()
		if name == "status" { // but for the version of Go
			text = bytes.ReplaceAll(text, []byte(goVersion(t, text)), []byte("go"))
		}
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, want) {
			t.Errorf("%s is\n%s", name, text)
		}
		if bytes.Contains(text, []byte("hush")) {
			t.Errorf("%s has a secret: %s", name, text)
		}
	}
}

func goVersion(t *testing.T, status []byte) string {
	t.Helper()
	var s struct {
		VersionInfo struct{ GoVersion string }
		Config      struct{ Original string }
	}
	if err := json.Unmarshal(status, &s); err != nil || !strings.Contains(s.Config.Original, "receiver: pager") {
		t.Fatalf("%v: %s", err, status)
	}
	return s.VersionInfo.GoVersion
}

func TestQueries(t *testing.T) {
	r := history(t)
	for path, want := range map[string]string{
		"alerts?filter=job%3D%22db%22":                                  "Slowdb active;Posteddb suppressed;",
		"alerts?filter=job%3Ddb&filter=alertname%3D~%22S.*%22":          "Slowdb active;",
		"alerts?filter=nothing%3D%22x%22":                               "",
		"alerts?silenced=false":                                         "Slowdb active;Slowapi suppressed;Downapi active;",
		"alerts?inhibited=false&silenced=false":                         "Slowdb active;Downapi active;",
		"alerts?active=false":                                           "Slowapi suppressed;Posteddb suppressed;",
		"alerts?receiver=pager":                                         "Slowdb active;Downapi active;",
		"alerts?receiver=page":                                          "",
		"alerts?receiver=p.%2A&unprocessed=false&filter=job%3D%22db%22": "Slowdb active;",
	} {
		got := names(t, r.asks(http.StatusOK, "GET", path, ""))
		if !sameWords(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"alerts?filter=%7B%7B", "alerts?receiver=(", "alerts?active=perhaps", "alerts/groups?muted=x", "silences?filter=x", "silences?expired=2.5", "alerts/groups?filter=%3D"} {
		r.asks(http.StatusBadRequest, "GET", path, "")
	}
	var list []struct{ ID string }
	for path, want := range map[string]string{
		"silences?filter=job%3D~%22d.*%22": "2", "silences?filter=env!~%22a%7Cb%22": "1243", "silences?filter=job%3D%22db%22": "",
		"silences?expired=false": "12", "silences?active=false&pending=false": "43",
	} {
		if err := json.Unmarshal([]byte(r.asks(http.StatusOK, "GET", path, "")), &list); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range list {
			got += s.ID[len(s.ID)-1:]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func sameWords(a, b string) bool {
	x, y := map[string]int{}, map[string]int{}
	for _, w := range strings.Split(a, ";") {
		x[w]++
	}
	for _, w := range strings.Split(b, ";") {
		y[w]++
	}
	for w := range y {
		if x[w] != y[w] {
			return false
		}
	}
	return len(x) == len(y)
}

// TestFingerprintsAreAlertmanagers: amtool and Grafana show them.
func TestFingerprintsAreAlertmanagers(t *testing.T) {
	r, _, _ := started(t)
	for _, labels := range []model.LabelSet{{"alertname": "A"}, {"alertname": "A", "b": "cd"}, {"alertname": "A", "bc": "d"}, {"ünï": "🔥", "x y": "\x01"}} {
		body, err := json.Marshal([]any{map[string]any{"labels": labels}})
		if err != nil {
			t.Fatal(err)
		}
		r.asks(http.StatusOK, "POST", "alerts", string(body))
		if got := r.asks(http.StatusOK, "GET", "alerts", ""); !strings.Contains(got, `"fingerprint":"`+labels.Fingerprint().String()+`"`) {
			t.Errorf("%v: %s is not in %s", labels, labels.Fingerprint(), got)
		}
	}
}

// TestBeforeTheLogIsRead nobody is told that nothing fires.
func TestBeforeTheLogIsRead(t *testing.T) {
	r, _, _ := started(t)
	*r.state = *alerts.NewState() //nolint:govet // nobody else has it yet
	for _, path := range []string{"alerts", "alerts/groups", "silences", "silence/x"} {
		r.asks(http.StatusServiceUnavailable, "GET", path, "")
	}
	r.asks(http.StatusServiceUnavailable, "POST", "alerts", `[{"labels":{"alertname":"A"}}]`)
	r.asks(http.StatusOK, "GET", "status", "")
}
