package promrules_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

// span is when a value was measured.
type span struct {
	from, until time.Duration
	v           float64
	where       string
}

// spans feeds the gauge load, and nothing where no span is.
func spans(list ...span) func(time.Time) []byte {
	return func(at time.Time) []byte {
		var points []point
		for _, s := range list {
			if d := at.Sub(epoch); d >= s.from && d < s.until {
				points = append(points, point{at, s.v, s.where})
			}
		}
		if points == nil {
			return nil
		}
		return metrics(gauge("load", points...))
	}
}

const minute = time.Minute

func busyRule(more string) string {
	return group("  - {alert: Busy, expr: 'avg by (where) (load) > 80', for: 1m" + more + "}\n")
}

const holding = ", annotations: {penstock_on_absent: hold, s: 'at {{ $value }}'}"

// What is not there is not wrong: the last value stands for the length of the
// lookback, and then the alert ends.
func TestAbsentIsOK(t *testing.T) {
	for _, more := range []string{"", ", annotations: {penstock_on_absent: ok}"} {
		r := newRig(t, busyRule(more))
		equal(t, r.run(20*minute, spans(span{0, 3 * minute, 90, "a"})), []string{
			"0s pending Busy where=a", "1m0s firing Busy where=a", "7m45s gone Busy where=a",
		})
	}
}

func TestAbsentHolds(t *testing.T) {
	r := newRig(t, busyRule(holding))
	equal(t, r.run(60*minute, spans(
		span{0, 3 * minute, 90, "a"}, span{30 * minute, 50 * minute, 95, "a"}, span{50 * minute, 60 * minute, 10, "a"},
		span{0, 2 * minute, 90, "b"}, span{2 * minute, 60 * minute, 10, "b"}, // known to be well
	)), []string{
		"0s pending Busy where=a", "0s pending Busy where=b", "1m0s firing Busy where=a", "1m0s firing Busy where=b",
		"2m0s gone Busy where=b", "50m0s gone Busy where=a",
	})
}

// Start, value and templates stay what they were.
func TestAHeldAlertIsWhatItWas(t *testing.T) {
	r := newRig(t, busyRule(holding)+"  - {alert: Meta, expr: 'count(ALERTS{alertname=\"Busy\",alertstate=\"firing\"}) > 0'}\n")
	r.run(20*minute, spans(span{minute, 3 * minute, 91, "a"}))
	ev := r.evaluate()
	if len(ev.Active) != 2 || ev.Active[0].Value != 91 || ev.Active[0].Annotations.Get("s") != "at 91" || ev.Active[1].Rule != "Meta" ||
		!ev.Active[0].ActiveAt.Equal(epoch.Add(minute)) || !ev.Active[0].FiredAt.Equal(epoch.Add(2*minute)) {
		t.Errorf("%+v", ev.Active)
	}
}

// What did not fire yet begins anew: nobody knows that it went on.
func TestPendingIsNotHeld(t *testing.T) {
	r := newRig(t, group("  - {alert: Busy, expr: load > 80, for: 10m"+holding+"}\n"))
	equal(t, r.run(30*minute, spans(span{0, 3 * minute, 90, "a"}, span{12 * minute, 25 * minute, 90, "a"})), []string{
		"0s pending Busy where=a", "7m45s gone Busy where=a", "12m0s pending Busy where=a", "22m0s firing Busy where=a",
	})
}

func TestAHoldEnds(t *testing.T) {
	r := newRig(t, busyRule(holding))
	equal(t, r.run(80*minute, spans(span{0, 3 * minute, 90, "a"})), []string{
		"0s pending Busy where=a", "1m0s firing Busy where=a", "1h7m30s gone Busy where=a",
	})
}

func TestAHoldOutlivesALoadAndEndsWithItsRule(t *testing.T) {
	r := newRig(t, busyRule(holding))
	r.run(10*minute, spans(span{0, 3 * minute, 90, "a"}))
	r.load(busyRule(holding) + "  - {record: other, expr: vector(1)}\n")
	equal(t, r.run(15*minute, nil), nil)
	r.load(group("  - {record: other, expr: vector(1)}\n"))
	equal(t, r.run(16*minute, nil), []string{"15m15s gone Busy where=a"})
}

// Comparisons inside of others, of two vectors, and what is taken away.
func TestWhatIsKnown(t *testing.T) {
	f := func(expr string, want ...string) {
		t.Helper()
		r := newRig(t, group("  - {alert: A, expr: '"+expr+"'"+holding+"}\n"))
		got := r.run(12*minute, func(at time.Time) []byte {
			d := at.Sub(epoch)
			list := []func(pmetric.MetricSlice){gauge("limit", point{at, 50, "a"})}
			if d < minute {
				list = append(list, gauge("load", point{at, 90, "a"}))
			}
			if d >= 2*minute {
				list = append(list, gauge("planned", point{at, 1, "a"}))
			}
			return metrics(list...)
		})
		equal(t, got, want)
	}
	where := " where=a"
	f("load > 80", "0s firing A"+where)
	f("load > limit", "0s firing A"+where)
	f("load > on (where) group_left () limit", "0s firing A"+where)
	f("(load > 80) * 2 > 100", "0s firing A"+where)
	f("load > 80 and limit > 40", "0s firing A"+where)
	f("load > 80 or limit > 60", "0s firing A"+where, "5m45s gone A"+where) // the limit is known
	f("count by (where) (load > 80) > 0", "0s firing A"+where)
	f("max_over_time((load > 80)[1m:15s]) > 1", "0s firing A"+where)
	f("load > 80 unless on (where) planned", "0s firing A"+where, "2m0s gone A"+where)
}

func TestAbsentFires(t *testing.T) {
	r := newRig(t, `rules: [{alert: Busy, metric: load, agg: max, group_by: [where], op: gt, threshold: 80, for: 1m, every: 15s, on_absent: fire}]`)
	g := promrules.GroupID{File: "test.yaml", Group: "rules every 15s"}
	var got []string
	feed := spans(span{0, 3 * minute, 90, "a"}, span{12 * minute, 20 * minute, 10, "a"})
	before := ""
	for ; r.now.Before(epoch.Add(15 * minute)); r.now = r.now.Add(15 * time.Second) {
		if b := feed(r.now); b != nil {
			r.append(b)
		}
		ev, err := r.e.Evaluate(t.Context(), g, r.now)
		if err != nil {
			t.Fatal(err)
		}
		now := ""
		for _, a := range ev.Active {
			now += " " + a.State.String() + " " + a.Annotations.Get("summary")
		}
		if now != before {
			got = append(got, r.now.Sub(epoch).String()+now)
		}
		before = now
	}
	equal(t, got, []string{
		"0s pending load is 90, threshold > 80", "1m0s firing load is 90, threshold > 80",
		"7m45s pending load has no data", "8m45s firing load has no data", "12m0s",
	})
}

func TestProblemsOfHold(t *testing.T) {
	f := func(rule, want string) {
		t.Helper()
		_, err := promrules.Parse("a.yaml", []byte(group("  - "+rule+"\n")))
		var p promrules.Problems
		if want == "" {
			if err != nil {
				t.Error(err)
			}
		} else if !errors.As(err, &p) || len(p) != 1 || p[0].Line != 5 || p[0].Rule != "A" || !strings.Contains(p[0].Text, want) {
			t.Errorf("%s: %v, want %q", rule, err, want)
		}
	}
	f("{alert: A, expr: a > 1, annotations: {penstock_on_absent: hold}}", "")
	f("{alert: A, expr: a > 1, annotations: {penstock_on_absent: ok}}", "")
	f("{alert: A, expr: a > 1, annotations: {penstock_on_absent: never}}", "want ok or hold")
	f("{alert: A, expr: a > 1, annotations: {penstock_on_absent: fire}}", "absent(")
	f("{alert: A, expr: a, annotations: {penstock_on_absent: hold}}", "compares nothing")
	f("{alert: A, expr: absent(a) > 0, annotations: {penstock_on_absent: hold}}", "rule of its own")
	needs := promrules.NeedsOf([]*promrules.File{parse(t, "a.yaml", group("  - {alert: A, expr: a > 1, annotations: {penstock_on_absent: hold}}\n"))}, 5*minute)
	if needs.Range != promrules.MaxHold+5*minute {
		t.Errorf("a new process has to see what is held: %s", needs.Range)
	}
}
