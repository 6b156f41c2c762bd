package amapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// many are n alerts in JSON that end at end; zero: it is not said.
func many(n int, end time.Time) string {
	var list []string
	for i := range n {
		ends := ""
		if !end.IsZero() {
			ends = `,"endsAt":"` + end.Format(time.RFC3339Nano) + `"`
		}
		list = append(list, fmt.Sprintf(`{"labels":{"alertname":"A","job":"j%04d"}%s,"generatorURL":"http://prom.example:9090/graph?g0.expr=up"}`, i, ends))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// TestABadAlertIsRefusedAlone, with its place and why.
func TestABadAlertIsRefusedAlone(t *testing.T) {
	r, _, _ := started(t)
	said := r.asks(http.StatusBadRequest, "POST", "alerts", `[
		{"labels":{"alertname":"Good"}},
		{"labels":{"alertname":"Backwards"},"startsAt":"2026-03-01T12:00:00Z","endsAt":"2026-03-01T11:00:00Z"},
		{"labels":{}}, {"labels":{"":"x"}}, {"labels":{"alertname":5}}, null, 7,
		{"labels":{"alertname":"When"},"endsAt":"tomorrow"},
		{"labels":{"alertname":"Never"},"endsAt":"9999-12-31T23:59:59-23:00"},
		{"labels":{"alertname":"Empty","job":""},"startsAt":"","endsAt":"0001-01-01T00:00:00.000Z","generatorURL":"javascript:alert(1)"},
		{"labels":{"alertname":"Large","x":"`+strings.Repeat("x", alerts.MaxLabels)+`"}}]`)
	for n, refused := range []bool{false, true, true, true, true, true, true, true, true, false, true} {
		if strings.Contains(said, fmt.Sprintf("alert %d:", n)) != refused {
			t.Errorf("alert %d refused is %v, want %v: %s", n, !refused, refused, said)
		}
	}
	if got := names(t, r.asks(http.StatusOK, "GET", "alerts", "")); got != "Good active;Empty active;" && got != "Empty active;Good active;" {
		t.Errorf("%s", got)
	}
	a, _ := r.state.Alert(alerts.KeyOf("", alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "Empty"})))
	if a.Source != "" || len(a.Labels) != 1 || a.File != alerts.SourceExternal {
		t.Errorf("%+v", a)
	}
	if got := testutil.ToFloat64(counter(t, r, "invalid")); got != 9 {
		t.Errorf("%v are invalid", got)
	}
}

func TestWhatIsNoListOfAlerts(t *testing.T) {
	r, _, _ := started(t)
	for _, body := range []string{"", "{}", "null", "[", `[{"labels":{"a":"b"}}`, "[}", "\x00"} {
		r.asks(http.StatusBadRequest, "POST", "alerts", body)
	}
	r.asks(http.StatusRequestEntityTooLarge, "POST", "alerts", `[{"labels":{"a":"`+strings.Repeat("x", 5<<20)+`"}}]`)
	said := r.asks(http.StatusBadRequest, "POST", "alerts", "["+strings.Repeat("1,", 10_000)+"1]")
	if !strings.Contains(said, "more than 10000") {
		t.Error(said)
	}
	r.asks(http.StatusMethodNotAllowed, "PUT", "alerts", "[]")
	r.asks(http.StatusNotFound, "GET", "everything", "")
	if r.firing() != 0 {
		t.Error("something fires")
	}
}

// TestPostedAlertsEnd: at the end that was said, at the end of resolve_timeout, or when
// a post says so.
func TestPostedAlertsEnd(t *testing.T) {
	r, c, log := started(t)
	now := time.Now()
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"Said"},"endsAt":"`+now.Add(2*time.Minute).Format(time.RFC3339)+`"},{"labels":{"alertname":"Unsaid"}},
		{"labels":{"alertname":"Told"},"endsAt":"`+now.Add(time.Hour).Format(time.RFC3339)+`"},{"labels":{"alertname":"Over"},"endsAt":"2026-03-01T11:00:00Z"}]`)
	states := func(want string) {
		t.Helper()
		got := map[string]bool{}
		for _, a := range r.state.Alerts(alerts.Filter{States: []string{alerts.Firing}}) {
			got[a.Rule] = true
		}
		for _, name := range strings.Fields(want) {
			if !got[name] {
				t.Errorf("%s does not fire", name)
			}
			delete(got, name)
		}
		if len(got) > 0 {
			t.Errorf("and %v fire", got)
		}
	}
	states("Said Unsaid Told")
	c.after(119 * time.Second)
	r.round()
	states("Said Unsaid Told")
	c.after(2 * time.Second)
	r.leads.Store(false)
	r.round()
	states("Said Unsaid Told") // another replica ends it
	r.leads.Store(true)
	r.round()
	states("Unsaid Told")
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"Told"},"endsAt":"`+time.Now().Add(-time.Second).Format(time.RFC3339)+`"}]`)
	states("Unsaid")
	c.after(4 * time.Minute)
	r.round()
	states("")
	reasons := map[string]string{}
	for _, e := range log.Events() {
		if e.Kind == alerts.EventResolved {
			a, _ := r.state.Alert(e.Alert)
			reasons[a.Rule] = e.Reason
		}
	}
	if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if fmt.Sprint(reasons) != "map[Said:expired Told: Unsaid:expired]" {
		t.Errorf("%v", reasons)
	}
}

// TestPostsDoNotGrowTheLog: 300 alerts that fire for half an hour, posted each minute to
// one replica and then to the other one.
func TestPostsDoNotGrowTheLog(t *testing.T) {
	r, c, log := started(t)
	other := open(t, log, func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) })
	other.leads.Store(false)
	both := []*replica{r, other}
	post := func(n int) {
		t.Helper()
		both[n%2].asks(http.StatusOK, "POST", "alerts", many(300, time.Now().Add(time.Duration(c.ahead.Load())+4*time.Minute)))
		for range 6 {
			c.after(10 * time.Second)
			other.round()
			r.round()
		}
	}
	post(0)
	before := len(log.Events())
	for n := 1; n <= 30; n++ {
		post(n)
	}
	events := log.Events()[before:]
	size := 0
	for part := events; len(part) > 0; part = part[min(len(part), 100):] {
		b, err := alerts.EncodeEvents(part[:min(len(part), 100)])
		if err != nil {
			t.Fatal(err)
		}
		size += len(b)
	}
	for _, e := range events {
		if e.Kind != alerts.EventExtended {
			t.Fatalf("%s, for nothing has changed", e.Kind)
		}
	}
	if len(events) > 32 || size > 10_000 {
		t.Errorf("half an hour of 30 posts of 300 alerts: %d events, %d bytes", len(events), size)
	}
	if r.firing() != 300 {
		t.Errorf("%d fire", r.firing())
	}
	if len(r.acted) != 1 {
		t.Errorf("%q: want it said once that alerts came", r.acted)
	}
	for range 20 { // nobody posts
		c.after(10 * time.Second)
		other.round()
		r.round()
	}
	r.eventually("all have ended", func() bool { return r.firing() == 0 })
}

// TestAnEndIsInTheLogBeforeItIsNear: a replica that is gone right after its answer takes
// nothing with it.
func TestAnEndIsInTheLogBeforeItIsNear(t *testing.T) {
	r, c, log := started(t)
	end := func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load()) + 4*time.Minute) }
	r.asks(http.StatusOK, "POST", "alerts", many(3, end()))
	c.after(220 * time.Second)
	r.asks(http.StatusOK, "POST", "alerts", many(3, end()))
	heir := open(t, log, func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) })
	c.after(230 * time.Second)
	heir.round()
	if n := heir.firing(); n != 3 {
		t.Errorf("%d of 3 fire, 10 s before their end", n)
	}
	c.after(12 * time.Second)
	heir.round()
	if n := heir.firing(); n != 0 {
		t.Errorf("%d fire after their end", n)
	}
}

// TestTenantsDoNotSeeEachOther, nor end each other's alerts.
func TestTenantsDoNotSeeEachOther(t *testing.T) {
	r, _, _ := started(t)
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"A"}}]`, "Tenant: blue")
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"A"}},{"labels":{"alertname":"B"}}]`, "Tenant: green")
	if got := names(t, r.asks(http.StatusOK, "GET", "alerts", "", "Tenant: blue")); got != "A active;" {
		t.Error(got)
	}
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"A"},"endsAt":"2026-03-01T11:00:00Z"}]`, "Tenant: blue")
	if got := names(t, r.asks(http.StatusOK, "GET", "alerts", "", "Tenant: green")); !strings.Contains(got, "A active;") || !strings.Contains(got, "B active;") {
		t.Error(got)
	}
	if got := r.asks(http.StatusOK, "GET", "alerts", ""); got != "[]\n" {
		t.Error(got)
	}
	id := r.silence(`{"matchers":[{"name":"alertname","value":"B","isRegex":false}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"ann","comment":"x"}`, "Tenant: green")
	r.asks(http.StatusNotFound, "GET", "silence/"+id, "", "Tenant: blue")
	r.asks(http.StatusNotFound, "DELETE", "silence/"+id, "", "Tenant: blue")
	r.asks(http.StatusNotFound, "POST", "silences", `{"id":"`+id+`","matchers":[{"name":"alertname","value":"B"}],"endsAt":"2099-01-02T00:00:00Z","createdBy":"ann","comment":"x"}`, "Tenant: blue")
	if got := r.asks(http.StatusOK, "GET", "silences", "", "Tenant: blue"); got != "[]\n" {
		t.Error(got)
	}
}

// TestTheLogIsNotThere: nothing is answered with success that is not stored.
func TestTheLogIsNotThere(t *testing.T) {
	r, _, log := started(t)
	log.Fail(alerts.ErrFull)
	if said := r.asks(http.StatusServiceUnavailable, "POST", "alerts", `[{"labels":{"alertname":"A"}}]`); !strings.Contains(said, "full") {
		t.Error(said)
	}
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"A"}}]`)
	log.Fail(errors.New("broken"))
	r.asks(http.StatusServiceUnavailable, "POST", "silences", `{"matchers":[{"name":"a","value":"b"}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"ann","comment":"x"}`)
	if got := testutil.ToFloat64(counter(t, r, "failed")); got != 1 {
		t.Errorf("%v failed", got)
	}
	want := []string{"post alerts false [alerts 1 source ]", "post alerts true [alerts 1 source ]"}
	if len(r.acted) != 3 || r.acted[0] != want[0] || r.acted[1] != want[1] || !strings.HasPrefix(r.acted[2], "add silence false") {
		t.Errorf("%q", r.acted)
	}
}

// TestTooManyPosted: a sender without bounds is refused, and what fires goes on.
func TestTooManyPosted(t *testing.T) {
	r, _, _ := started(t)
	list := func(prefix string) string {
		return strings.ReplaceAll(many(5000, time.Time{}), `"A"`, `"`+prefix+`"`)
	}
	for _, prefix := range []string{"A", "B", "C", "D"} {
		r.asks(http.StatusOK, "POST", "alerts", list(prefix))
	}
	r.asks(http.StatusOK, "POST", "alerts", list("A")) // fire already
	said := r.asks(http.StatusBadRequest, "POST", "alerts", `[{"labels":{"alertname":"E"}}]`)
	if !strings.Contains(said, "20000") || r.firing() != 1000 { // a page of them
		t.Errorf("%s, %d", said, r.firing())
	}
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"C"}}]`, "Tenant: blue")
}
